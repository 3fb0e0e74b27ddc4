"""Plans: what a selection of features means in one catalog, and the query that reads it."""
