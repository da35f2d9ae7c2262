"""tf.Examples to the columns of a ranker, for the API calls Classify and Regress."""

from typing import Any

import tensorflow as tf

from keras_smes.export.inputs import Inputs, ServedInput

Tensor = Any
# What a loader writes where the source has nothing: an example without the feature means just that.
MISSING = {tf.int64: -1, tf.string: b"", tf.float32: float("nan")}


def parse_examples(serialized: Tensor, inputs: Inputs) -> dict[str, Tensor]:
    """Parses serialized tf.Examples.

    An example that lacks a feature gets the schema's default, and where there is none the value that
    stands for "missing", so that it doesn't fail the others of a merged batch. A feature of many values
    is a list of any length in the example, and its length is not sent; none there is an empty list, since
    examples don't tell the two apart.

    Args:
        serialized: `[B]` strings.
        inputs: The `ServedInput`s by name.

    Returns:
        The columns, `[B]` or `[B, L]`.
    """
    values = {name: item for name, item in inputs.items() if not item.is_length}
    parsed = tf.io.parse_example(serialized, {name: _parser(item) for name, item in values.items()})
    columns: dict[str, Tensor] = {}
    for name, item in values.items():
        if isinstance(parsed[name], tf.RaggedTensor):
            columns |= _padded(name, parsed[name], inputs)
        else:
            columns[name] = tf.cast(parsed[name], item.spec.dtype)
    return columns


def _parser(item: ServedInput) -> Any:
    if item.spec.shape.rank == 1:
        default = MISSING[item.spec.dtype] if item.default is None else item.default[0]
        return tf.io.FixedLenFeature([], item.spec.dtype, default)
    return tf.io.RaggedFeature(item.spec.dtype, row_splits_dtype=tf.int64)


def _padded(name: str, lists: tf.RaggedTensor, inputs: Inputs) -> dict[str, Tensor]:
    length = next(other for other, item in inputs.items() if item.is_length and item.owner == name)
    return {name: lists.to_tensor(), length: tf.cast(lists.row_lengths(), tf.int32)}
