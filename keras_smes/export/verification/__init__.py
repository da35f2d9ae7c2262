"""Parity of an export with Keras, in a fresh process."""
