"""The projects that an audit asks: by Feast, and of plain views without it."""
