"""Compares two counts of a column: distances, thresholds, and findings in words."""
