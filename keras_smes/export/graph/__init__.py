"""What the exported graph holds: inputs, signatures, lookups."""
