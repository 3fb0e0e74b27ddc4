"""Data sources: their columns and types, and each feature's value as SQL."""
