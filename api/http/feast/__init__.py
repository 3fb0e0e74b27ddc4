"""The protocol of Feast's own feature server, for Feast SDKs whose online store is `remote`."""
