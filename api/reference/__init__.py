"""The reference of the HTTP API, docs/api.md, from the service's own OpenAPI: `make docs`."""
