"""Counts columns inside PostgreSQL: of months, of views, and of what is online."""
