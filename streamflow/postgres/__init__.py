"""PostgreSQL: connections and their options, the schema and its migrations, locks."""
