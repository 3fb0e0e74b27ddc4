"""Backups and restores of the databases."""
