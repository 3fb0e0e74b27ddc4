"""The writer: the command line `streamflow` and all work that changes data."""
