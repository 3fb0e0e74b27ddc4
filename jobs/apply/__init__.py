"""Apply: definitions are loaded, compared with the registry and brought into the database."""
