"""The REST port: HTTP, JSON and Prometheus' page."""
