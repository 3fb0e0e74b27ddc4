"""Brings a feature repository's definitions into the registry and the online tables."""
