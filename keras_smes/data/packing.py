"""Many arrays of the same rows as one matrix a dtype: taking rows is one copy, and not one an array."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


class Packing:
    """Where each array lies in the matrices.

    Args:
        example: A tuple of dicts of arrays of N rows, such as `(features, labels)`; N may be 0. What is
            packed later has the same names, dtypes and widths.
    """

    def __init__(self, example: tuple[Arrays, ...]) -> None:
        self.parts = len(example)
        self.places: dict[str, list[tuple[int, str, tuple[int, ...]]]] = {}
        for part, arrays in enumerate(example):
            for name, values in arrays.items():
                self.places.setdefault(values.dtype.name, []).append((part, name, values.shape[1:]))

    @property
    def widths(self) -> dict[str, list[int]]:
        """For each dtype, how many columns of the matrix each array takes."""
        return {dtype: [math.prod(shape) for _, _, shape in places] for dtype, places in self.places.items()}

    def pack(self, parts: tuple[Arrays, ...]) -> dict[str, np.ndarray]:
        """Returns the matrices, `[N, width]` by the name of their dtype."""
        widths = self.widths
        return {
            dtype: np.concatenate(
                [
                    np.asarray(parts[part][name], dtype).reshape(-1, width)
                    for (part, name, _), width in zip(places, widths[dtype], strict=True)
                ],
                axis=1,
            )
            for dtype, places in self.places.items()
        }

    def unpack(self, matrices: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """Returns a tuple of dicts of tensors from the matrices, as TensorFlow tensors."""
        import tensorflow as tf

        parts: tuple[dict[str, Any], ...] = tuple({} for _ in range(self.parts))
        for dtype, places in self.places.items():
            columns = tf.split(matrices[dtype], self.widths[dtype], axis=1)
            for (part, name, shape), values in zip(places, columns, strict=True):
                parts[part][name] = tf.reshape(values, (-1, *shape))
        return parts
