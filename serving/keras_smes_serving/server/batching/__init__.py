"""Requests of many clients run together, by TensorFlow Serving's parameters."""
