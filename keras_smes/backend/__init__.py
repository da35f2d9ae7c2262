"""What Keras has no public name for, and what differs between its backends."""
