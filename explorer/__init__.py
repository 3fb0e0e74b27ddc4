"""The explorer: what is in the feature store and whether it is well, as pages for a browser.

It reads the database and nothing else: it runs no code of a team, reads no feature_store.yaml, and
writes nothing.
"""
