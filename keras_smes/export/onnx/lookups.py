"""Vocabularies in ONNX: replaces the hash tables of TensorFlow by `LabelEncoder`."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_smes.backend.graph import call_graph
from keras_smes.export.graph.inputs import Inputs, is_built_ranker, rewired
from keras_smes.features.categories import Embedded, Hashed, Vocabulary
from keras_smes.features.layers.lookup import known_values

LOOKUPS = (keras.layers.IntegerLookup, keras.layers.StringLookup)


def vocabularies(inputs: Inputs) -> dict[str, list[Any]]:
    """Returns the vocabulary of each input that has one, in the order of its rows, from row 1.

    Raises:
        ValueError: A feature is hashed, which ONNX doesn't support; the message names it.
    """
    looked_up = {
        name: item.feature.item
        for name, item in inputs.items()
        if isinstance(item.feature, Embedded) and not item.is_length
    }
    for name, category in looked_up.items():
        if isinstance(category, Hashed):
            raise ValueError(
                "ONNX has no operation for TensorFlow's hash of ids and strings: use a vocabulary instead "
                f"of `num_bins`. Received: feature {name!r}, hashed into "
                f"{category.num_bins} rows"
            )
    return {name: known_values(item) for name, item in looked_up.items() if isinstance(item, Vocabulary)}


def without_lookups(ranker: keras.Model, looked_up: Mapping[str, Any]) -> keras.Model:
    """Returns a ranker of `build_ranker` that takes row numbers (int64) instead of values to look up."""
    if not is_built_ranker(ranker):
        return ranker
    preprocessor = ranker.get_layer("preprocessor")

    def operation(layer: Any) -> Any:
        if layer is preprocessor:
            return lambda columns, **_: call_graph(preprocessor, columns, operation)
        return (lambda rows, **_: rows) if isinstance(layer, LOOKUPS) else layer

    return rewired(ranker, operation, dict.fromkeys(looked_up, "int64"))


def lookup_node(column: str, rows: str, vocabulary: list[Any]) -> Any:
    """Returns the node from values of an input to row numbers, 0 for unknown values."""
    from onnx import helper

    kind = "strings" if isinstance(vocabulary[0], str) else "int64s"
    attributes: dict[str, Any] = {
        f"keys_{kind}": vocabulary,
        "values_int64s": range(1, len(vocabulary) + 1),
        "default_int64": 0,
    }
    name = f"lookup_{column}"
    return helper.make_node("LabelEncoder", [column], [rows], name, domain="ai.onnx.ml", **attributes)
