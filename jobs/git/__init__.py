"""Definitions from git: one commit of a repository, and a folder of it."""
