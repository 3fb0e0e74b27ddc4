"""Statistics of a feature's values, and formulas that say how far two distributions differ."""
