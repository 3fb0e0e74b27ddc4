"""Telemetry: metrics, the run ledger's metrics, access log, traces."""
