"""Reading: plans, queries, kept answers, and how the database's changes are followed."""
