"""Columns in memory to batches: preprocessed once, ordered by seed and epoch, cut on the fly."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_smes.data.progress import track

Arrays = Mapping[str, np.ndarray]
Tensor = Any
PREPROCESSING_BATCH = 8192
AHEAD = 4  # batches that are made while one is trained on


def preprocess(ranker: keras.Model, columns: Arrays, verbose: int = 0) -> dict[str, np.ndarray]:
    """Runs the ranker's preprocessor over all rows, so that an epoch doesn't look ids up again.

    Args:
        ranker: What `build_ranker` built.
        columns: Raw columns of N rows.
        verbose: `1` shows a progress bar. Defaults to `0`.

    Returns:
        What the ranker's layer `"core"` takes, arrays of N rows.
    """
    return run_preprocessor(ranker.get_layer("preprocessor"), columns, verbose)


def run_preprocessor(preprocessor: keras.Model, columns: Arrays, verbose: int = 0) -> dict[str, np.ndarray]:
    """As `preprocess`, for a preprocessor without its ranker."""
    import tensorflow as tf

    starts = range(0, len(next(iter(columns.values()))), PREPROCESSING_BATCH)
    parts = []
    for start in track(starts, "Preprocessing", verbose):
        rows = slice(start, start + PREPROCESSING_BATCH)
        parts.append(preprocessor({name: tf.constant(values[rows]) for name, values in columns.items()}))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def count_for_any(counted: Arrays) -> np.ndarray:
    """Returns whether each row counts for any task, bool `[N]`, from `task.counted` of each."""
    return np.any([rows_n > 0 for rows_n in counted.values()], axis=0)


def epoch_order(rows: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of rows in an epoch, int64 `[rows]`: of `seed` and `epoch` alone.

    No state is carried from one epoch to the next, so that training resumes in the middle of any.
    """
    return np.random.default_rng((seed, epoch)).permutation(rows)


class PackedRows:
    """Arrays of N rows, side by side in one matrix a dtype: a batch is one gather, not one an array.

    Args:
        parts: A tuple of dicts of arrays of N rows, such as `(features, labels)`.
    """

    def __init__(self, parts: tuple[Arrays, ...]) -> None:
        import tensorflow as tf

        arrays = {(part, name): values for part, own in enumerate(parts) for name, values in own.items()}
        self.parts = len(parts)
        self.num_rows = len(next(iter(arrays.values())))
        self._places: dict[str, list[tuple[tuple[int, str], tuple[int, ...]]]] = {}
        for key, values in arrays.items():
            self._places.setdefault(values.dtype.name, []).append((key, values.shape[1:]))
        # On the host, wherever the model is: what crosses over is a batch, not the data.
        with tf.device("CPU:0"):
            self._matrices = {
                dtype: tf.constant(
                    np.concatenate([arrays[key].reshape(self.num_rows, -1) for key, _ in places], axis=1)
                )
                for dtype, places in self._places.items()
            }

    def take(self, rows_b: Tensor, piece: tuple[int, int] = (0, 1)) -> tuple[dict[str, Tensor], ...]:
        """Returns the rows of these numbers, or a piece of them, as a tuple of dicts as it was given."""
        import tensorflow as tf

        rows_b = rows_b[piece[0] :: piece[1]]
        taken: tuple[dict[str, Tensor], ...] = tuple({} for _ in range(self.parts))
        for dtype, places in self._places.items():
            widths = [math.prod(shape) for _, shape in places]
            columns = tf.split(tf.gather(self._matrices[dtype], rows_b), widths, axis=1)
            for ((part, name), shape), values in zip(places, columns, strict=True):
                taken[part][name] = tf.reshape(values, (-1, *shape))
        return taken

    def batches(
        self, batch_size: int, order: np.ndarray | None = None, piece: tuple[int, int] = (0, 1)
    ) -> Any:
        """Makes a `tf.data.Dataset` of batches.

        Args:
            batch_size: Rows a batch; the last one may have fewer.
            order: Row numbers `[n]`, those to go through in their order. Defaults to `None`, all rows in
                the order they have.
            piece: `(i, n)`: rows i, i + n, i + 2n, ... of each batch. Defaults to `(0, 1)`, all of them.
        """
        import tensorflow as tf

        order = np.arange(self.num_rows) if order is None else order
        rows = tf.constant(order)

        # Ordering row numbers and gathering a batch at once is far cheaper than shuffling rows.
        def batch(start: Tensor) -> tuple[dict[str, Tensor], ...]:
            return self.take(rows[start : start + batch_size], piece)

        starts = tf.data.Dataset.range(0, len(order), batch_size)
        return starts.map(batch, num_parallel_calls=2, deterministic=True).prefetch(AHEAD)


def batches(features: Arrays, labels: Arrays, batch_size: int) -> Any:
    """Makes a `tf.data.Dataset` of batches `(features, labels)` in the order of the rows.

    Args:
        features: Arrays of N rows.
        labels: Arrays of N rows; may be empty.
        batch_size: Rows a batch; the last one may have fewer.

    Returns:
        The data set.
    """
    return PackedRows((features, labels)).batches(batch_size)
