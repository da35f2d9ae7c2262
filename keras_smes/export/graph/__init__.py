"""The exported graph: inputs, signatures, lookups."""
