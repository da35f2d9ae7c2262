"""Logs that are known by name, and a simulator."""
