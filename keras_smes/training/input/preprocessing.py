"""Runs a ranker's preprocessor over rows once, so that epochs don't repeat lookups."""

import keras
import numpy as np

from keras_smes.console import track
from keras_smes.diagnostics.probe import evenly_spread
from keras_smes.training.input.packed_rows import PackedRows
from keras_smes.training.input.packing import Arrays

PREPROCESSING_BATCH = 8192


def preprocess(ranker: keras.Model, columns: Arrays, verbose: int = 0) -> dict[str, np.ndarray]:
    """Runs the ranker's preprocessor over all rows.

    Returns:
        Inputs of the ranker's layer `"core"`, arrays of N rows.
    """
    return run_preprocessor(ranker.get_layer("preprocessor"), columns, verbose)


def run_preprocessor(preprocessor: keras.Model, columns: Arrays, verbose: int = 0) -> dict[str, np.ndarray]:
    """As `preprocess`, for a preprocessor alone."""
    import tensorflow as tf

    starts = range(0, len(next(iter(columns.values()))), PREPROCESSING_BATCH)
    parts = []
    for start in track(starts, "Preprocessing", verbose):
        rows = slice(start, start + PREPROCESSING_BATCH)
        parts.append(preprocessor({name: tf.constant(values[rows]) for name, values in columns.items()}))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def count_for_any(counted: Arrays) -> np.ndarray:
    """Returns whether each row counts for any task, bool `[N]`."""
    return np.any([rows_n > 0 for rows_n in counted.values()], axis=0)


def sample_counted(packed: PackedRows, rows: int) -> dict[str, np.ndarray]:
    """Returns the features of at most `rows` rows that count for any task, evenly spread."""
    counted_n = np.concatenate([count_for_any(counted) for _, (_, _, counted) in packed.chunks()])
    taken = evenly_spread(np.flatnonzero(counted_n), rows)
    parts = []
    for which, (features, _, _) in packed.chunks():
        own = taken[(taken >= which.start) & (taken < which.stop)] - which.start
        parts.append({name: values[own] for name, values in features.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
