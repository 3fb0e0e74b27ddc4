"""The four database roles and their rights."""
