"""Feast's online store on the typed tables."""
