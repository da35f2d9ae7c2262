"""The loop over epochs: steps, validation, selection and checkpoints."""
