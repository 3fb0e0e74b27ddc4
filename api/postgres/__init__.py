"""PostgreSQL for the API: connections and their pool, by asyncpg."""
