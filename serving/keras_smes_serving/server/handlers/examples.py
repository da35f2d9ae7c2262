"""tf.Examples of Classify, Regress and MultiInference, and the tensors of their signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow.core.framework.types_pb2 import DataType

from keras_smes_serving.protocol.dtypes import KINDS
from keras_smes_serving.protocol.errors import reject
from keras_smes_serving.server.messages import Input
from keras_smes_serving.server.runtime.session import Array


@dataclass(frozen=True)
class Task:
    """The tensors of a signature that takes tf.Examples.

    Args:
        fed: str. The name of the tensor of serialized examples.
        outputs: mapping of str to str. Alias to tensor name.
    """

    fed: str
    outputs: Mapping[str, str]


def serialized_examples(examples: Input) -> Array:
    """Serializes the examples of a request, with their shared context, to an array of bytes.

    Raises:
        ServingError: INVALID_ARGUMENT: there is no example.
    """
    context, kind = b"", examples.WhichOneof("kind")
    messages = getattr(examples, kind).examples if kind else ()
    if kind == "example_list_with_context":
        context = examples.example_list_with_context.context.SerializeToString()
    if not messages:
        reject("Input is empty.")
    tensor = np.empty(len(messages), object)
    # Concatenated messages parse as one message with the fields of both.
    tensor[:] = [context + message.SerializeToString() for message in messages]
    return tensor


def single_input(signature: Any, alias: str, purpose: str, check_outputs: Callable[[Any], None]) -> str:
    """Returns the name of the only input tensor of a signature, which must have an alias.

    Args:
        signature: SignatureDef message.
        alias: str. The required alias.
        purpose: str. The purpose of the signature, for errors.
        check_outputs: function of the signature. Raises for a wrong number of outputs.

    Raises:
        ServingError: INVALID_ARGUMENT: there are other inputs.
    """
    if len(signature.inputs) != 1:
        reject("Expected one input Tensor.")
    check_outputs(signature)
    if alias not in signature.inputs:
        reject(f"No {purpose} inputs found in SignatureDef: {signature}")
    return str(signature.inputs[alias].name)


def data_type(array: Array) -> str:
    """Returns TensorFlow's name of an array's dtype, such as `"DT_FLOAT"`."""
    number = next((kind.number for kind in KINDS if kind.dtype == array.dtype), 0)
    return str(DataType.Name(number))


def shape_text(array: Array) -> str:
    """Formats the shape of an array as TensorFlow does, such as `"[2,3]"`."""
    return "[" + ",".join(str(size) for size in array.shape) + "]"
