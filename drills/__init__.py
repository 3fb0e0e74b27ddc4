"""Drills of faults: runs that are killed, broken and doubled; `make drills`."""
