"""Rows of many values: from lists to one padded array with lengths, and back to the values alone."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from keras_smes.features.conversion import to_int64


def flatten_lists(name: str, rows: Any) -> tuple[Any, np.ndarray]:
    """Returns the values of all rows one after another, and how many each row has; `None` is no value.

    Args:
        name: Name of the feature, for the error.
        rows: A list or object array of lists, tuples or one-dimensional arrays.

    Raises:
        ValueError: A row is none of these.
    """
    lists = [() if row is None else row for row in rows]
    for position, row in enumerate(lists):
        one_dimensional = row.ndim == 1 if isinstance(row, np.ndarray) else isinstance(row, (list, tuple))
        if not one_dimensional:
            raise ValueError(
                f"Feature {name!r} takes a list of values a row. Received: {row!r} at position {position}"
            )
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    filled = [row for row in lists if len(row)]
    # An empty array has some dtype, and two dtypes joined may hold neither's values exactly.
    types = {row.dtype if isinstance(row, np.ndarray) else None for row in filled}
    if len(types) == 1 and None not in types:
        return np.concatenate(filled), lengths
    return list(chain.from_iterable(filled)), lengths


def flatten_padded(name: str, values: np.ndarray, lengths: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the valid values of a padded array, how many each row has, and how many lengths were wrong.

    Args:
        name: Name of the feature, for the error.
        values: `[N, L]`; what lies beyond a row's length is never looked at.
        lengths: `[N]` integers. A negative one counts as 0, one above L as L.
    """
    given = to_int64(f"{name}_length", lengths)
    if len(given) != len(values):
        raise ValueError(
            f"Feature {name!r} takes one length a row. Received: rows={len(values)}, lengths={len(given)}"
        )
    clamped = np.clip(given, 0, values.shape[1])
    valid = np.arange(values.shape[1]) < clamped[:, None]
    return values[valid], clamped, int(np.sum(clamped != given))


def pad(
    values: np.ndarray, lengths: np.ndarray, max_length: int, keep: str, padding: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows as `[N, max_length]` from the left, and their lengths `[N]` int32.

    Args:
        values: The values of all rows, one after another.
        lengths: `[N]`, how many of them each row has.
        max_length: Most values a row keeps.
        keep: `"first"` or `"last"`: which values a longer row keeps.
        padding: What fills the rest.
    """
    kept = np.minimum(lengths, max_length)
    starts = np.cumsum(lengths) - (kept if keep == "last" else lengths)
    within = np.arange(max_length) < kept[:, None]
    padded = np.full(within.shape, padding, values.dtype)
    padded[within] = values[(starts[:, None] + np.arange(max_length))[within]]
    return padded, kept.astype(np.int32)


def is_padded(values: Any) -> bool:
    """Whether `values` is one array `[N, L]`, rather than a list of lists."""
    return not isinstance(values, Sequence) and np.asarray(values).ndim == 2
