"""The point-in-time join as SQL, and rows in and out of PostgreSQL by binary COPY."""
