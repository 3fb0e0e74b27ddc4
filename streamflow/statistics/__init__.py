"""Statistics of features' values by month, as they are counted, stored and compared."""
