"""Rows on disk: a cache of folders, parts in order of time, their schema."""
