"""The lake: months of snapshots as Parquet beside the database."""
