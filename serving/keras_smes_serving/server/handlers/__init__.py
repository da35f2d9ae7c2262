"""Predict, Classify, Regress and MultiInference on one servable, whatever the transport."""
