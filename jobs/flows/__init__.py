"""The work of the commands, each a run in the ledger: as plain functions and as Prefect flows."""
