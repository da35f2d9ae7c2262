"""The loop over epochs: steps, validation, selection, and what a killed training resumes from."""
