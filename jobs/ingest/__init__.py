"""Ingest: a month's files are read, checked and loaded."""
