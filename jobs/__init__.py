"""The writer: everything that changes data."""
