"""Keras models of a schema: raw inputs, preprocessing, embeddings, and the encoded instance h.

Preprocessing (string and integer lookups) and embedding are two models. Together they take raw values, as
in the served graph. Separately, the lookups run in the input pipeline and the rest compiles with XLA, which
supports neither strings nor hash tables.
"""

from collections import abc
from typing import Any

import keras
from keras import ops

from keras_smes.features.categories import Embedded
from keras_smes.features.column_model import ColumnModel
from keras_smes.features.embedding_tables import tables
from keras_smes.features.feature import Feature
from keras_smes.features.layers.attention import TargetAttention
from keras_smes.features.layers.bucketize import Bucketize
from keras_smes.features.layers.crosses import CrossNetwork
from keras_smes.features.layers.fit_length import FitLength
from keras_smes.features.layers.lookup import lookup_layer
from keras_smes.features.layers.pooling import MaskedPooling
from keras_smes.features.layers.standardize import Standardize
from keras_smes.features.numbers import Number
from keras_smes.features.schema import FeatureSchema
from keras_smes.features.sequences import MultiValued, Sequence
from keras_smes.types import Tensor

Tensors = dict[str, Tensor]
# The tensor [B, N] of all numbers after preprocessing. No feature can have this name.
NUMBERS = "standardized-numbers"


def raw_inputs(schema: FeatureSchema) -> Tensors:
    """Returns one Keras input per raw input of the schema.

    They are named and typed as the features, of shape `[B]`; `Tags` and `Sequence` have `NAME [B, L]`,
    of any L, and `NAME_length [B]` int32.
    """
    return {
        name: keras.Input(shape, dtype=dtype, name=name)
        for name, (shape, dtype) in schema.input_specs.items()
    }


def preprocessed_inputs(schema: FeatureSchema) -> Tensors:
    """Returns Keras inputs for the outputs of `preprocessor`."""
    inputs = {}
    for feature in _embedded(schema):
        shape = (feature.max_length,) if isinstance(feature, MultiValued) else ()
        inputs[feature.name] = keras.Input(shape, dtype="int32", name=feature.name)
        if isinstance(feature, MultiValued):
            length = feature.length_name
            inputs[length] = keras.Input((), dtype="int32", name=length)
    if numbers := _standardised(schema):
        inputs[NUMBERS] = keras.Input((len(numbers),), dtype="float32", name=NUMBERS)
    return inputs


def preprocessor(schema: FeatureSchema, name: str = "preprocessor") -> keras.Model:
    """Builds the model from raw features to embedding rows (int32) and `NUMBERS [B, N]`.

    Rows are `[B]`, and `[B, max_length]` with lengths `[B]` for `Tags` and `Sequence`.

    Returns:
        A functional model from dict to dict. Out-of-vocabulary ids and strings get row 0, as do missing
        numbers in buckets.
    """
    if not schema.is_fitted:
        unfitted = [f.name for f in schema.features if not f.is_fitted]
        raise ValueError(
            f"`schema` must be fitted: call `schema.fit(columns)`. Received: unfitted={unfitted}"
        )
    inputs = raw_inputs(schema)
    outputs: Tensors = {}
    for table, members in tables(schema.features).items():
        # One lookup for all features of a table, so that the vocabulary is stored once.
        to_rows = _to_rows(members[0], table)
        for feature in members:
            outputs |= _rows(feature, to_rows(inputs[feature.name]), inputs)
    if numbers := _standardised(schema):
        log, mean, std = ([getattr(f, field) for f in numbers] for field in ("log", "mean", "std"))
        stacked_bn = ops.stack([inputs[f.name] for f in numbers], axis=1)
        outputs[NUMBERS] = Standardize(log, mean, std, dtype="float32", name="standardize")(stacked_bn)
    return ColumnModel(inputs, {key: outputs[key] for key in preprocessed_inputs(schema)}, name=name)


def encode(
    schema: FeatureSchema,
    preprocessed: abc.Mapping[str, Tensor],
    units: abc.Sequence[int],
    crosses: int = 0,
    cross_dim: int | None = None,
) -> Tensor:
    """Computes the encoded instance h: embeddings and pooling, numbers, crosses and an MLP.

    Args:
        schema: A fitted `FeatureSchema`.
        preprocessed: Outputs of `preprocessor`.
        units: Widths of the MLP's layers, each with a ReLU. Empty: h is the concatenated or crossed features.
        crosses: Depth of the `CrossNetwork` between the concatenated features and the MLP; above 0 it needs
            the extra `ranking`. Defaults to `0`, none.
        cross_dim: Rank of the crosses' matrices. Defaults to `None`, full.

    Returns:
        `[B, D]`.
    """
    parts = list(_vectors(schema, preprocessed).values())
    if NUMBERS in preprocessed:
        parts.append(preprocessed[NUMBERS])
    h_bd = keras.layers.Concatenate(name="features")(parts) if len(parts) > 1 else parts[0]
    if crosses:
        h_bd = CrossNetwork(crosses, cross_dim, name="crosses")(h_bd)
    for layer, width in enumerate(units):
        h_bd = keras.layers.Dense(width, activation="relu", name=f"encoder_{layer}")(h_bd)
    return h_bd


def _embedded(schema: FeatureSchema) -> list[Any]:
    return [f for f in schema.features if f.table_name is not None]


def _standardised(schema: FeatureSchema) -> list[Any]:
    return [f for f in schema.features if f.table_name is None]


def _to_rows(feature: Feature, table: str) -> keras.layers.Layer:
    if isinstance(feature, Number):
        return Bucketize(feature.boundaries, name=f"bucketize_{table}")
    assert isinstance(feature, Embedded)
    return lookup_layer(feature.item, name=f"lookup_{table}")


def _rows(feature: Feature, rows: Tensor, inputs: Tensors) -> Tensors:
    """Inputs of the core for a feature: its table rows, and a length if it has one."""
    rows = ops.cast(rows, "int32")
    if not isinstance(feature, MultiValued):
        return {feature.name: rows}
    fit_length = FitLength(feature.max_length, feature.keep, name=f"fit_{feature.name}")
    fitted = fit_length(rows, inputs[feature.length_name])
    return {feature.name: fitted["ids"], feature.length_name: fitted["lengths"]}


def _vectors(schema: FeatureSchema, preprocessed: abc.Mapping[str, Tensor]) -> Tensors:
    """One vector `[B, dim]` per embedded feature, in the schema's order."""
    vectors: Tensors = {}
    for table, members in tables(schema.features).items():
        first: Any = members[0]
        embedding = keras.layers.Embedding(first.num_ids, first.dim, name=f"embed_{table}")
        vectors |= {feature.name: embedding(preprocessed[feature.name]) for feature in members}
    for feature in schema.features:
        if isinstance(feature, MultiValued):
            lengths_b = preprocessed[feature.length_name]
            vectors[feature.name] = _pooled(feature, vectors, lengths_b)
    return {feature.name: vectors[feature.name] for feature in _embedded(schema)}


def _pooled(feature: MultiValued, vectors: Tensors, lengths_b: Tensor) -> Tensor:
    items_bld, name = vectors[feature.name], f"pool_{feature.name}"
    if isinstance(feature, Sequence) and feature.target is not None:
        attention = TargetAttention(feature.attention_units, name=name)
        return attention(vectors[feature.target], items_bld, lengths_b)
    return MaskedPooling(feature.pooling, name=name)(items_bld, lengths_b)
