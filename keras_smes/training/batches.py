"""Columns in memory to batches: preprocessed once, shuffled by a seed, cut on the fly."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

Arrays = Mapping[str, np.ndarray]
PREPROCESSING_BATCH = 8192


def preprocess(ranker: keras.Model, columns: Arrays) -> dict[str, np.ndarray]:
    """Runs the ranker's preprocessor over all rows, so that an epoch doesn't look ids up again."""
    import tensorflow as tf

    preprocessor = ranker.get_layer("preprocessor")
    rows = len(next(iter(columns.values())))
    parts = [
        preprocessor(
            {
                name: tf.constant(values[start : start + PREPROCESSING_BATCH])
                for name, values in columns.items()
            }
        )
        for start in range(0, rows, PREPROCESSING_BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def batches(features: Arrays, labels: Arrays, batch_size: int, seed: int | None = None) -> Any:
    """Makes a `tf.data.Dataset` of batches `(features, labels)`.

    Args:
        features: Arrays of N rows.
        labels: Arrays of N rows.
        batch_size: Rows a batch; the last one may have fewer.
        seed: Seed of the order of rows, another one each epoch. `None`, the default, keeps the order.

    Returns:
        The data set.
    """
    import tensorflow as tf

    tensors = tf.nest.map_structure(tf.constant, (dict(features), dict(labels)))
    rows = len(next(iter(features.values())))
    order = tf.data.Dataset.range(rows)
    if seed is not None:
        order = order.shuffle(rows, seed=seed)
    # Shuffling row numbers and gathering a batch at once is far cheaper than shuffling rows.
    return (
        order.batch(batch_size)
        .map(
            lambda row_b: tf.nest.map_structure(lambda column: tf.gather(column, row_b), tensors),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .prefetch(2)
    )
