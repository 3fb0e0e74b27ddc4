"""Materialization inside PostgreSQL: the SQL from source rows to online rows."""
