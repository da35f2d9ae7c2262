"""Keras layers of preprocessing and encoding."""
