"""Ids and words to rows of an embedding table, by Keras' lookup and hashing layers."""

from typing import Any

import keras
import numpy as np

from keras_smes.features.categories import (
    RESERVED_INTEGER,
    RESERVED_STRING,
    Category,
    Hashed,
    IntegerCategory,
    StringCategory,
    Vocabulary,
)


@keras.saving.register_keras_serializable(package="keras_smes")
class StringLookup(keras.layers.StringLookup):
    """Keras' `StringLookup` for strings of any length.

    Keras makes an array of NumPy's own strings of a list, in which each is as long as the longest and loses
    NULs at its end.
    """

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        if isinstance(vocabulary, (list, tuple)):
            vocabulary = np.fromiter(vocabulary, object, len(vocabulary))
        super().set_vocabulary(vocabulary, idf_weights)


# For each vocabulary: its layer, what stands for an unknown value, and for a vocabulary of none.
_LOOKUPS: dict[type[Vocabulary], Any] = {
    IntegerCategory: (keras.layers.IntegerLookup, RESERVED_INTEGER, RESERVED_INTEGER + 1),
    StringCategory: (StringLookup, RESERVED_STRING, "\x1aunused"),
}


def lookup_layer(item: Category, name: str) -> keras.layers.Layer:
    """Returns the layer that turns raw values of any shape into rows of their table.

    Args:
        item: A fitted category.
        name: Name of the layer.
    """
    if isinstance(item, Hashed):
        return keras.layers.Hashing(item.num_bins, name=name)
    assert isinstance(item, IntegerCategory | StringCategory)
    layer, unknown, _ = _LOOKUPS[type(item)]
    return layer(vocabulary=known_values(item), oov_token=unknown, name=name)


def known_values(item: Vocabulary) -> list[Any]:
    """Returns the values of a fitted category that have rows of their own, 1, 2, and so on."""
    _, _, unused = _LOOKUPS[type(item)]
    # Keras refuses an empty vocabulary, and one that holds the word for what is unknown.
    return list(item.vocabulary or [unused])
