"""Feast's SQL registry as far as materialization needs it, read and added to without Feast."""
