"""Classify: tf.Examples in, classes with labels and scores out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import grpc
import numpy as np

from keras_smes_serving.protocol.errors import ServingError, reject
from keras_smes_serving.server.handlers.examples import Task, data_type, shape_text, single_input
from keras_smes_serving.server.messages import ClassificationResult

METHOD: Final = "tensorflow/serving/classify"
_INPUTS, _CLASSES, _SCORES = "inputs", "classes", "scores"


def classification_task(signature: Any, check_method: bool = False) -> Task:
    """Returns the tensors of a signature for Classify.

    Raises:
        ServingError: INVALID_ARGUMENT: the signature doesn't support Classify.
    """
    if check_method and signature.method_name != METHOD:
        reject(f"Expected classification signature method_name to be {METHOD}. Was: {signature.method_name}")
    fed = single_input(signature, _INPUTS, "classification", check_outputs=_check_output_count)
    names = [name for name in (_CLASSES, _SCORES) if name in signature.outputs]
    if not names:
        reject(
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES}" or "{_SCORES}". Signature was: {signature}'
        )
    return Task(fed, {name: signature.outputs[name].name for name in names})


def classification_result(
    task: Task, tensors: Mapping[str, Any], count: int, result: ClassificationResult
) -> None:
    """Fills a response to Classify for `count` examples from tensors by name.

    Raises:
        ServingError: INVALID_ARGUMENT: the tensors aren't `[examples, classes]`, of strings and of float32.
    """
    values = {name: tensors[tensor] for name, tensor in task.outputs.items()}
    for name, expected in ((_CLASSES, "DT_STRING"), (_SCORES, "DT_FLOAT")):
        if name in values:
            _check(name, values[name], expected, count)
    sizes = [value.shape[1] for value in values.values()]
    if sizes[0] != sizes[-1]:
        reject(f"Tensors class and score should match in dim_size(1). Got {sizes[0]} vs. {sizes[-1]}")
    labels = values.get(_CLASSES, np.full((count, sizes[0]), b"", object)).tolist()
    scores = values.get(_SCORES, np.zeros((count, sizes[0]), np.float32)).tolist()
    for row_labels, row_scores in zip(labels, scores, strict=True):
        classes = result.classifications.add().classes
        for label, score in zip(row_labels, row_scores, strict=True):
            classes.add(label=_text(label), score=score)


def _check_output_count(signature: Any) -> None:
    if len(signature.outputs) not in (1, 2):
        reject(f"Expected one or two output Tensors, found {len(signature.outputs)}")


def _check(name: str, value: Any, expected: str, count: int) -> None:
    if value.ndim != 2:
        reject(f"Expected Tensor shape: [batch_size num_classes] but got {shape_text(value)}")
    if (found := data_type(value)) != expected:
        reject(f"Expected {name} Tensor of {expected}. Got: {found}")
    if len(value) != count:
        reject(f"Expected {name} output batch size of {count}. Got: {len(value)}")


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError:
        # The field is a string, which must be UTF-8.
        text = f"Class label is not valid UTF-8: {label!r}"
        raise ServingError(grpc.StatusCode.INTERNAL, text) from None
