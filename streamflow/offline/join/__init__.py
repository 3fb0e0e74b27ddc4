"""The point-in-time join: entity rows, the newest feature row of each, one query for all views."""
