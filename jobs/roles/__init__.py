"""The five database roles and their rights."""
