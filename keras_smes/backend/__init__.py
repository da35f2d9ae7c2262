"""Private names of Keras, and differences between its backends."""
