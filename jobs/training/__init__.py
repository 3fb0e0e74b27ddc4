"""Training sets: built, written, and known to be fresh."""
