"""Ours, stock Feast and the floor side by side in one run; `python -m benchmarks`."""
