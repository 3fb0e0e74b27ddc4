"""The reader: HTTP over the online features."""
