"""What happens when things break: runs that are killed, broken, doubled; `make drills`."""
