"""The contract: what StreamFlow's features are and where they live."""
