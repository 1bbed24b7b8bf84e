"""HTTP endpoints of the API, one module per domain."""
