"""Feast's registry: opened, compiled into the catalog, checked before it changes."""
