"""Generated months of users who do not exist."""
