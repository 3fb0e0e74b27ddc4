"""Copies the newest values into the online store: by the engine, from the lake, or by Feast."""
