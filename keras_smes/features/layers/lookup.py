"""Lookup of ids and strings in an embedding table, by Keras' lookup and hashing layers."""

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

    Keras converts lists to NumPy string arrays, which reserve the longest length per string and lose trailing
    NULs.
    """

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        if isinstance(vocabulary, (list, tuple)):
            vocabulary = np.fromiter(vocabulary, object, len(vocabulary))
        super().set_vocabulary(vocabulary, idf_weights)


# Per type: the layer, the out-of-vocabulary placeholder, and the vocabulary in place of an empty one.
_LOOKUPS: dict[type[Vocabulary], Any] = {
    IntegerCategory: (keras.layers.IntegerLookup, RESERVED_INTEGER, RESERVED_INTEGER + 1),
    StringCategory: (StringLookup, RESERVED_STRING, "\x1aunused"),
}


def lookup_layer(item: Category, name: str) -> keras.layers.Layer:
    """Returns the layer that maps raw values of any shape to table rows."""
    if isinstance(item, Hashed):
        return keras.layers.Hashing(item.num_bins, name=name)
    assert isinstance(item, IntegerCategory | StringCategory)
    layer, unknown, _ = _LOOKUPS[type(item)]
    return layer(vocabulary=known_values(item), oov_token=unknown, name=name)


def known_values(item: Vocabulary) -> list[Any]:
    """Returns the values of a fitted category in the order of their rows 1, 2, and so on."""
    _, _, unused = _LOOKUPS[type(item)]
    # Keras rejects an empty vocabulary, and one that holds the placeholder.
    return list(item.vocabulary or [unused])
