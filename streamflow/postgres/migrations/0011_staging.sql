-- Usable from: 1
-- Rows that another engine found on several machines wait here until one transaction merges them into the online tables
-- (streamflow/spark/staging.py). Each run makes unlogged tables under its own number and drops them; those of a run that
-- was killed are dropped by the next.
CREATE SCHEMA IF NOT EXISTS streamflow_staging;
COMMENT ON SCHEMA streamflow_staging IS
    'Rows of a materialization that is running; tables of one that was killed are dropped by the next.';
COMMENT ON COLUMN ops.materializations.way IS
    'database: inside PostgreSQL; feast: as Feast''s messages, by its own engine or copied; lake: read from the lake by DuckDB or Spark.';
