"""Features: what a row looks like, and how it becomes Keras inputs and a vector."""
