"""Rows as a training takes them: preprocessed once, packed, in memory or on disk, cut into batches."""
