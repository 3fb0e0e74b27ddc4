"""Features computed from others by SQL: one evaluation for training and serving."""
