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
