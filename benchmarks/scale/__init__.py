"""The whole pipeline with ever more users: what grows with them, and what stays."""
