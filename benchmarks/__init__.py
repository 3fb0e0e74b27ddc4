"""Benchmarks of ours, stock Feast and bare SQL (the floor) in one run; `python -m benchmarks`."""
