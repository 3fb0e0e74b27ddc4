"""Ours, stock Feast and the floor: how each is set up, started and asked."""
