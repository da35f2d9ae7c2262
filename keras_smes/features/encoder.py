"""From a schema to Keras: raw inputs, preprocessing, embeddings, and the encoded instance h.

Preprocessing (string and integer lookups) and embedding are two models. Together they take raw
values, as the served graph does; apart, the lookups run in the input pipeline and the rest compiles
with XLA, which knows neither strings nor hash tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.features.schema import (
    FeatureSchema,
    HashedString,
    IntegerCategory,
    Number,
    StringCategory,
)
from keras_smes.features.standardize import Standardize

Tensor = Any
# The one tensor [B, N] that preprocessing makes of all numbers. No feature can have this name.
NUMBERS = "standardized-numbers"


def raw_inputs(schema: FeatureSchema) -> dict[str, Tensor]:
    """Returns one Keras input of shape `[B]` a feature, named and typed as the feature."""
    return {f.name: keras.Input((), dtype=f.dtype, name=f.name) for f in schema.features}


def preprocessed_inputs(schema: FeatureSchema) -> dict[str, Tensor]:
    """Returns the Keras inputs of what `preprocessor` puts out."""
    inputs = {f.name: keras.Input((), dtype="int32", name=f.name) for f in _categories(schema)}
    if numbers := _numbers(schema):
        inputs[NUMBERS] = keras.Input((len(numbers),), dtype="float32", name=NUMBERS)
    return inputs


def preprocessor(schema: FeatureSchema, name: str = "preprocessor") -> keras.Model:
    """Builds the model from raw features to embedding rows (int32 `[B]`) and `NUMBERS [B, N]`.

    Args:
        schema: A fitted `FeatureSchema`.
        name: Name of the model. Defaults to `"preprocessor"`.

    Returns:
        A functional model, dict in and dict out. An id or string never seen before gets row 0.
    """
    if not schema.is_fitted:
        unfitted = [f.name for f in schema.features if not f.is_fitted]
        raise ValueError(
            f"`schema` must be fitted: call `schema.fit(columns)`. Received: unfitted={unfitted}"
        )
    inputs = raw_inputs(schema)
    outputs = {f.name: ops.cast(_lookup(f)(inputs[f.name]), "int32") for f in _categories(schema)}
    if numbers := _numbers(schema):
        log, mean, std = ([getattr(f, field) for f in numbers] for field in ("log", "mean", "std"))
        stacked_bn = ops.stack([inputs[f.name] for f in numbers], axis=1)
        outputs[NUMBERS] = Standardize(log, mean, std, name="standardize")(stacked_bn)
    return keras.Model(inputs, outputs, name=name)


def encode(schema: FeatureSchema, preprocessed: Mapping[str, Tensor], units: Sequence[int]) -> Tensor:
    """Embeds the ids, joins the numbers, and runs an MLP over them: the encoded instance h.

    Args:
        schema: A fitted `FeatureSchema`.
        preprocessed: What `preprocessor` puts out.
        units: Widths of the MLP's layers, each with a ReLU. Empty: h is the joined features.

    Returns:
        `[B, D]`.
    """
    parts = [
        keras.layers.Embedding(f.num_ids, f.dim, name=f"embed_{f.name}")(preprocessed[f.name])
        for f in _categories(schema)
    ]
    if NUMBERS in preprocessed:
        parts.append(preprocessed[NUMBERS])
    h_bd = keras.layers.Concatenate(name="features")(parts) if len(parts) > 1 else parts[0]
    for layer, width in enumerate(units):
        h_bd = keras.layers.Dense(width, activation="relu", name=f"encoder_{layer}")(h_bd)
    return h_bd


def _categories(schema: FeatureSchema) -> list[Any]:
    return [f for f in schema.features if not isinstance(f, Number)]


def _numbers(schema: FeatureSchema) -> list[Number]:
    return [f for f in schema.features if isinstance(f, Number)]


def _lookup(feature: Any) -> keras.layers.Layer:
    name = f"lookup_{feature.name}"
    if isinstance(feature, HashedString):
        return keras.layers.Hashing(feature.num_bins, name=name)
    kind, unknown, unused = _LOOKUPS[type(feature)]
    # Keras refuses an empty vocabulary, and one that holds the word for what is unknown.
    return kind(vocabulary=list(feature.vocabulary or [unused]), oov_token=unknown, name=name)


# For each category: its layer, what stands for an unknown value, and for a vocabulary of none. No row
# has these: Keras' own -1 and "[UNK]" could be values.
_LOOKUPS = {
    IntegerCategory: (keras.layers.IntegerLookup, -(2**63), -(2**63) + 1),
    StringCategory: (keras.layers.StringLookup, "\x1aunknown", "\x1aunused"),
}
