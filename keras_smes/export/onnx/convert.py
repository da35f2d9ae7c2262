"""A ranker as an ONNX model: named columns in, named scores out, vocabularies included."""

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_smes.export.graph.endpoints import Fusion, make_endpoints
from keras_smes.export.graph.inputs import Inputs, named_model, served_inputs
from keras_smes.export.onnx.lookups import lookup_node, vocabularies, without_lookups
from keras_smes.export.onnx.operations import HANDLERS
from keras_smes.features.schema import FeatureSchema
from keras_smes_serving.server.runtime.servable import DEFAULT_SIGNATURE

Model = Any  # onnx.ModelProto, from an optional dependency

OPSET = 17
LARGEST = 2**31 - 2**26  # bytes of weights: a protocol buffer holds 2 GiB, part of it for nodes


def to_onnx(ranker: keras.Model, schema: FeatureSchema | None = None, fusion: Fusion | None = None) -> Model:
    """Converts a ranker to an ONNX model with the inputs and outputs of `serving_default`.

    Experts run only on the rows routed to them, as in Keras. Every input is required: ONNX has no defaults.

    Args:
        ranker: A functional or sequential model, such as one of `build_ranker`.
        schema: The ranker's `FeatureSchema`, which holds the vocabularies. Defaults to `None`, for models
            without lookups.
        fusion: From the scores by task to one fused score `[B]`. Defaults to `None`.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ImportError: The extra `onnx` isn't installed.
        ValueError: A feature is hashed, the weights exceed 2 GB, or the graph holds an operation that ONNX
            lacks. Layers of experts can always be converted.
    """
    import onnx

    ranker = named_model(ranker)
    _check_size(ranker)
    _check_names(ranker)
    inputs = served_inputs(ranker, schema)
    known = vocabularies(inputs)
    scorer = without_lookups(ranker, known)
    model = _convert(scorer, served_inputs(scorer, None), fusion)
    _name_inputs(model, inputs, known)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"`ranker` must use operations that ONNX has. Received: {error}") from None
    return model


def _check_size(ranker: keras.Model) -> None:
    size = sum(math.prod(w.shape) * tf.as_dtype(w.dtype).size for w in ranker.weights)
    if size > LARGEST:
        raise ValueError(f"`ranker` must have weights of at most {LARGEST:,} bytes. Received: {size:,} bytes")


def _check_names(ranker: keras.Model) -> None:
    if shared := sorted(set(ranker.input) & set(ranker.output)):
        raise ValueError(f"`ranker` must have features of other names than tasks have. Received: {shared}")


def _convert(scorer: keras.Model, inputs: Inputs, fusion: Fusion | None) -> Model:
    """Converts the scoring function; its inputs are named `column_0`, `column_1`, and so on."""
    import tf2onnx

    score = make_endpoints(scorer, inputs, fusion)[DEFAULT_SIGNATURE].run
    specs = {
        name: tf.TensorSpec(item.spec.shape, item.spec.dtype, _placeholder(number))
        for number, (name, item) in enumerate(inputs.items())
    }
    with _quiet("tf2onnx", "tensorflow"):  # the checker reports unconverted operations
        model, _ = tf2onnx.convert.from_function(
            tf.function(score, autograph=False), [specs], opset=OPSET, custom_op_handlers=HANDLERS
        )
    return model


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _placeholder(number: int) -> str:
    return f"column_{number}"


def _name_inputs(model: Model, inputs: Inputs, known: Mapping[str, list[Any]]) -> None:
    """Gives a converted model the ranker's own inputs, with lookups of vocabularies."""
    from onnx import helper

    columns, nodes = [], []
    for number, (name, item) in enumerate(inputs.items()):
        shape = ["batch", *(size or f"length_of_{name}" for size in item.spec.shape[1:])]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(item.spec.dtype.as_numpy_dtype))
        columns.append(helper.make_tensor_value_info(name, kind, shape))
        if name in known:
            nodes.append(lookup_node(name, _placeholder(number), known[name]))
        else:
            nodes.append(helper.make_node("Identity", [name], [_placeholder(number)], name=f"take_{name}"))
    _replace(model.graph.input, columns)
    _replace(model.graph.node, [*nodes, *model.graph.node])


def _replace(field: Any, values: list[Any]) -> None:
    del field[:]
    field.extend(values)
