"""Readings of the database, one module per kind, in plain SQL."""
