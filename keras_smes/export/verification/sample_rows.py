"""Sample rows for verification and warm-up: expected values of a schema, and unexpected ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_smes.export.graph.inputs import Inputs, ServedInput

VALUES = 4  # values per row where the schema leaves the length open
UNSEEN = {
    "int32": (-1, 2**31 - 1, -(2**31)),  # such as a length without a schema
    "int64": (-1, 2**60, -(2**63)),
    "string": ("", "never seen", "\x1aunknown"),
    "float32": (np.nan, np.inf, -np.inf),
}


def sample_rows(
    inputs: Inputs, count: int, seed: int = 0, keys: Sequence[Mapping[str, np.ndarray]] = ()
) -> dict[str, np.ndarray]:
    """Makes rows of known values, with unknown, missing and non-finite ones among them.

    Args:
        inputs: The `ServedInput`s by name.
        count: Number of rows.
        seed: Seed of the choice. Defaults to `0`.
        keys: Key columns of tables; some rows take keys of each. Defaults to none.

    Returns:
        Columns by name, of the inputs' types; strings as object arrays of bytes.
    """
    rng = np.random.default_rng(seed)
    columns = {name: _column(item, count, rng) for name, item in inputs.items()}
    table_n = rng.integers(0, len(keys) + 1, count)  # the last number is for no table
    for number, own in enumerate(keys):
        size = len(next(iter(own.values())))
        rows = np.flatnonzero(table_n == number) if size else np.array([], np.int64)
        chosen = rng.integers(0, max(size, 1), len(rows))
        for name, values in own.items():
            columns[name][rows] = [
                value.encode() if isinstance(value, str) else value for value in values[chosen].tolist()
            ]
    return columns


def _column(item: ServedInput, count: int, rng: np.random.Generator) -> np.ndarray:
    shape = (count, *(VALUES if size is None else size for size in item.spec.shape[1:]))
    dtype = item.spec.dtype.as_numpy_dtype
    if item.is_length:  # includes too short and too long ones
        return rng.integers(-1, VALUES + 2, shape).astype(dtype)
    known = _known(item, rng)
    unseen = UNSEEN[item.spec.dtype.name] if item.takes_any else known
    column = np.empty(shape, object)
    for index in np.ndindex(shape):
        values: Sequence[Any] = unseen if rng.random() < 0.2 else known
        value = values[int(rng.integers(len(values)))]
        column[index] = value.encode() if isinstance(value, str) else value
    return column if dtype is object else column.astype(dtype)


def _known(item: ServedInput, rng: np.random.Generator) -> Sequence[Any]:
    vocabulary = getattr(item.feature, "vocabulary", None)
    if vocabulary:
        return vocabulary
    if item.spec.dtype.is_floating:
        return _numbers(item, rng)
    if item.spec.dtype != tf.string and not item.takes_any:
        return (0, 1)  # valid rows of any table
    words = [int(number) for number in rng.integers(0, 1000, 8)]
    return [f"word {word}" for word in words] if item.spec.dtype == tf.string else words


def _numbers(item: ServedInput, rng: np.random.Generator) -> Sequence[float]:
    mean, std = (getattr(item.feature, name, None) for name in ("mean", "std"))
    values = (mean or 0.0) + (1.0 if std is None else std) * rng.normal(size=16)
    return list(np.expm1(values) if getattr(item.feature, "log", False) else values)
