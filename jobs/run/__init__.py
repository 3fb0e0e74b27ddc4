"""Parts of every run: the ledger, the console, bounded waits, secrets in URLs."""
