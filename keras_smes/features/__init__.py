"""Features: the schema of a row, its preprocessing, and the encoder."""
