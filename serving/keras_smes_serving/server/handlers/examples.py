"""What Classify, Regress and MultiInference share: tf.Examples, and the tensors they go to."""

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
        fed: str. The name of the tensor that takes the serialized examples.
        outputs: mapping of str to str. Alias to tensor name.

    Example:

    ```python
    Task("input_examples:0", {"outputs": "scores:0"})
    ```
    """

    fed: str
    outputs: Mapping[str, str]


def serialized_examples(examples: Input) -> Array:
    """Turns the input of a request into the tensor that a graph parses.

    Args:
        examples: `Input` message. Examples, or examples with a context that all of them share.

    Returns:
        ndarray. One serialized tf.Example for each, as bytes.

    Raises:
        ServingError: INVALID_ARGUMENT: there is no example.

    Example:

    ```python
    servable.run({task.fed: serialized_examples(request.input)}, list(task.outputs.values()), None)
    ```
    """
    context, kind = b"", examples.WhichOneof("kind")
    messages = getattr(examples, kind).examples if kind else ()
    if kind == "example_list_with_context":
        context = examples.example_list_with_context.context.SerializeToString()
    if not messages:
        reject("Input is empty.")
    tensor = np.empty(len(messages), object)
    # Serialized messages that follow one another are one message, of the fields of both.
    tensor[:] = [context + message.SerializeToString() for message in messages]
    return tensor


def single_input(signature: Any, alias: str, purpose: str, check_outputs: Callable[[Any], None]) -> str:
    """Finds the one tensor that a signature feeds.

    Args:
        signature: SignatureDef message.
        alias: str. The name its input must have.
        purpose: str. What the signature should be for, to be named in errors.
        check_outputs: function of the signature. Raises if its outputs are too few or too many.

    Returns:
        str. The name of the tensor.

    Raises:
        ServingError: INVALID_ARGUMENT: there are other inputs.

    Example:

    ```python
    single_input(signature, "inputs", "regression", check_outputs=lambda _: None)
    ```
    """
    if len(signature.inputs) != 1:
        reject("Expected one input Tensor.")
    check_outputs(signature)
    if alias not in signature.inputs:
        reject(f"No {purpose} inputs found in SignatureDef: {signature}")
    return str(signature.inputs[alias].name)


def data_type(array: Array) -> str:
    """Names the dtype of an array as TensorFlow's texts do.

    Args:
        array: ndarray.

    Returns:
        str. Such as `"DT_FLOAT"`.

    Example:

    ```python
    data_type(np.array([1.0], "float32"))  # "DT_FLOAT"
    ```
    """
    number = next((kind.number for kind in KINDS if kind.dtype == array.dtype), 0)
    return str(DataType.Name(number))


def shape_text(array: Array) -> str:
    """Writes the shape of an array as TensorFlow's texts do.

    Args:
        array: ndarray.

    Returns:
        str. Such as `"[2,3]"`.

    Example:

    ```python
    shape_text(np.zeros((2, 3)))  # "[2,3]"
    ```
    """
    return "[" + ",".join(str(size) for size in array.shape) + "]"
