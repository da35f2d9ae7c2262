"""Converts lists of values to one padded array with lengths, and back to flat values."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from keras_smes.features.raw.conversion import to_int64


def flatten_lists(name: str, rows: Any) -> tuple[Any, np.ndarray]:
    """Returns the concatenated values of all rows, and their number per row; `None` is an empty row.

    Raises:
        ValueError: A row is of another type.
    """
    lists = [() if row is None else row for row in rows]
    for position, row in enumerate(lists):
        one_dimensional = row.ndim == 1 if isinstance(row, np.ndarray) else isinstance(row, (list, tuple))
        if not one_dimensional:
            raise ValueError(
                f"Feature {name!r} takes a list of values per row. Received: {row!r} at position {position}"
            )
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    filled = [row for row in lists if len(row)]
    # Skips empty arrays: their dtype could force a common dtype that holds no values exactly.
    types = {row.dtype if isinstance(row, np.ndarray) else None for row in filled}
    if len(types) == 1 and None not in types:
        return np.concatenate(filled), lengths
    return list(chain.from_iterable(filled)), lengths


def flatten_padded(name: str, values: np.ndarray, lengths: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the valid values of a padded array, their number per row, and the number of wrong lengths.

    Args:
        name: Name of the feature, for the error.
        values: `[N, L]`; positions beyond a row's length are ignored.
        lengths: `[N]` integers. A negative one counts as 0, one above L as L.
    """
    given = to_int64(f"{name}_length", lengths)
    if len(given) != len(values):
        raise ValueError(
            f"Feature {name!r} takes one length per row. Received: rows={len(values)}, lengths={len(given)}"
        )
    clamped = np.clip(given, 0, values.shape[1])
    valid = np.arange(values.shape[1]) < clamped[:, None]
    return values[valid], clamped, int(np.sum(clamped != given))


def pad(
    values: np.ndarray, lengths: np.ndarray, max_length: int, keep: str, padding: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows as `[N, max_length]`, left-aligned, and their lengths `[N]` int32.

    Args:
        values: Concatenated values of all rows.
        lengths: `[N]`, number of values per row.
        max_length: Maximum number of values per row.
        keep: `"first"` or `"last"`: which values of a longer row to keep.
        padding: Padding value.
    """
    kept = np.minimum(lengths, max_length)
    starts = np.cumsum(lengths) - (kept if keep == "last" else lengths)
    within = np.arange(max_length) < kept[:, None]
    padded = np.full(within.shape, padding, values.dtype)
    padded[within] = values[(starts[:, None] + np.arange(max_length))[within]]
    return padded, kept.astype(np.int32)


def is_padded(values: Any) -> bool:
    """Returns whether `values` is one array `[N, L]` rather than a list of lists."""
    return not isinstance(values, Sequence) and np.asarray(values).ndim == 2
