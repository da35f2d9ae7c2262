"""Packs arrays of the same rows into one matrix of 32-bit words.

A batch then is one gather, and a row on disk one range of bytes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_smes.types import Tensor

Arrays = Mapping[str, np.ndarray]
WORD = np.dtype(np.int32)


class Place(NamedTuple):
    """Position of an array in the tuple of dicts, and the type and shape of its rows."""

    part: int
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def words(self) -> int:
        """Words of a row."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize // WORD.itemsize


class Packing:
    """Layout of arrays in the words of a row."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = tuple(places)
        for place in self.places:
            if np.dtype(place.dtype).hasobject or np.dtype(place.dtype).itemsize % WORD.itemsize:
                raise ValueError(
                    f"Arrays must have types of 4 or 8 bytes. Received: {place.name!r} of {place.dtype}"
                )

    @classmethod
    def of(cls, parts: tuple[Arrays, ...]) -> "Packing":
        """Returns the packing of a tuple of dicts of arrays, such as `(features, labels)`."""
        return cls(
            [
                Place(part, name, values.dtype.name, values.shape[1:])
                for part, arrays in enumerate(parts)
                for name, values in arrays.items()
            ]
        )

    @classmethod
    def from_config(cls, config: Sequence[Sequence[Any]]) -> "Packing":
        """Returns the packing from `to_config`."""
        return cls([Place(part, name, dtype, tuple(shape)) for part, name, dtype, shape in config])

    def to_config(self) -> list[list[Any]]:
        """Returns the places as JSON values."""
        return [[place.part, place.name, place.dtype, list(place.shape)] for place in self.places]

    @property
    def width(self) -> int:
        """Words of a row."""
        return sum(place.words for place in self.places)

    def pack(self, parts: tuple[Arrays, ...]) -> np.ndarray:
        """Returns the words of N rows, int32 `[N, width]`."""
        rows = len(next(iter(parts[0].values())))
        words = np.empty((rows, self.width), WORD)
        start = 0
        for place in self.places:
            values = np.ascontiguousarray(parts[place.part][place.name], place.dtype)
            words[:, start : start + place.words] = values.reshape(rows, -1).view(WORD)
            start += place.words
        return words

    def unpack(self, words: np.ndarray) -> tuple[dict[str, np.ndarray], ...]:
        """Returns the arrays of words `[N, width]`."""
        parts: tuple[dict[str, np.ndarray], ...] = self._empty()
        start = 0
        for place in self.places:
            own = np.ascontiguousarray(words[:, start : start + place.words])
            parts[place.part][place.name] = own.view(place.dtype).reshape(len(words), *place.shape)
            start += place.words
        return parts

    def tensors(self, words: Tensor) -> tuple[dict[str, Tensor], ...]:
        """As `unpack`, for TensorFlow tensors."""
        import tensorflow as tf

        parts: tuple[dict[str, Tensor], ...] = self._empty()
        columns = tf.split(words, [place.words for place in self.places], axis=1)
        for place, own in zip(self.places, columns, strict=True):
            if np.dtype(place.dtype).itemsize == 2 * WORD.itemsize:
                own = tf.reshape(own, (-1, place.words // 2, 2))
            parts[place.part][place.name] = tf.reshape(tf.bitcast(own, place.dtype), (-1, *place.shape))
        return parts

    def _empty(self) -> tuple[dict[str, Any], ...]:
        return tuple({} for _ in range(1 + max(place.part for place in self.places)))
