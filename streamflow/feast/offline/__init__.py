"""Feast's offline store on PostgreSQL."""
