"""The typed online tables: made, migrated, merged into."""
