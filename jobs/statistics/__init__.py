"""Statistics and drift as `streamflow stats` shows them to people."""
