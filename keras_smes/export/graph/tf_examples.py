"""Parses tf.Examples to the columns of a ranker, for Classify and Regress."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_smes.export.graph.inputs import Inputs, ServedInput
from keras_smes.types import Tensor

# The markers of a missing value, as written by the data loaders.
MISSING = {tf.int64: -1, tf.string: b"", tf.float32: float("nan")}


def parse_examples(serialized: Tensor, inputs: Inputs) -> dict[str, Tensor]:
    """Parses serialized tf.Examples.

    An example without a feature gets the schema's default, or else the marker of a missing value, so that it
    doesn't fail the other examples of a merged batch. A multi-valued feature is a list of any length in the
    example, without a separate length; no list and an empty list are the same.

    Returns:
        The columns, `[B]` or `[B, L]`.
    """
    values = {name: item for name, item in inputs.items() if not item.is_length}
    parsed = tf.io.parse_example(serialized, {name: _parser(item) for name, item in values.items()})
    columns: dict[str, Tensor] = {}
    for name, item in values.items():
        if isinstance(parsed[name], tf.RaggedTensor):  # of any length
            columns |= _padded(name, parsed[name], inputs)
        else:
            columns[name] = tf.cast(parsed[name], item.spec.dtype)
    return columns


def example_type(item: ServedInput) -> tf.DType:
    """Returns the type of the values in an example, which has one type of integers."""
    dtype: tf.DType = tf.int64 if item.spec.dtype == tf.int32 else item.spec.dtype
    return dtype


def have_examples(inputs: Inputs) -> bool:
    """Returns whether an example can hold all inputs, by their types and shapes."""
    lists = {item.owner for item in inputs.values() if item.is_length}
    return all(
        example_type(item) in MISSING and (name in lists or item.spec.shape[1:].is_fully_defined())
        for name, item in inputs.items()
        if not item.is_length
    )


def missing(item: ServedInput) -> np.ndarray:
    """Returns the row for a feature that an example lacks."""
    if item.default is not None:
        return item.default[0]
    return np.full(item.spec.shape[1:], MISSING[example_type(item)], example_type(item).as_numpy_dtype)


def _parser(item: ServedInput) -> Any:
    shape = item.spec.shape[1:]
    if shape.is_fully_defined():
        return tf.io.FixedLenFeature(shape, example_type(item), missing(item))
    return tf.io.RaggedFeature(example_type(item), row_splits_dtype=tf.int64)


def _padded(name: str, lists: tf.RaggedTensor, inputs: Inputs) -> dict[str, Tensor]:
    length = next(other for other, item in inputs.items() if item.is_length and item.owner == name)
    padded = tf.cast(lists.to_tensor(), inputs[name].spec.dtype)
    return {name: padded, length: tf.cast(lists.row_lengths(), tf.int32)}
