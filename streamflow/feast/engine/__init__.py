"""Feast's compute engine that materializes inside PostgreSQL."""
