"""Months of snapshots as Parquet at any URL, in Iceberg's form, and training sets from there."""
