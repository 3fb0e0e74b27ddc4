"""Work that commands do, each piece a run of the ledger: plain, and as Prefect's flows."""
