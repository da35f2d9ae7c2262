"""Input of training: rows preprocessed once, packed in memory or on disk, cut into batches."""
