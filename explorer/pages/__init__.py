"""The pages, a module for each: rows of the database become what a template shows."""
