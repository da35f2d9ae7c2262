"""Predict, Classify, Regress and MultiInference on one servable, independent of the transport."""
