"""Builds, writes and verifies training sets, and tells if they are up to date."""
