"""Batching of requests by several clients, with TensorFlow Serving's parameters."""
