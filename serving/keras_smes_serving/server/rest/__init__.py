"""The REST port: HTTP, JSON and the page that Prometheus reads."""
