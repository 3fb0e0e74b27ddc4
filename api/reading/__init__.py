"""Reading: answers from the cache or the database, and the watch on the database's changes."""
