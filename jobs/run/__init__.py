"""A run of a command: ledger, console, report, Prefect flows, waits."""
