"""Regress: tf.Examples in, one number per example out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from keras_smes_serving.protocol.errors import reject
from keras_smes_serving.server.handlers.examples import Task, data_type, shape_text, single_input
from keras_smes_serving.server.messages import RegressionResult

METHOD: Final = "tensorflow/serving/regress"
_INPUTS, _OUTPUTS = "inputs", "outputs"


def regression_task(signature: Any, check_method: bool = False) -> Task:
    """Returns the tensors of a signature for Regress.

    Raises:
        ServingError: INVALID_ARGUMENT: the signature doesn't support Regress.
    """
    if check_method and signature.method_name != METHOD:
        reject(f"Expected regression signature method_name to be {METHOD}. Was: {signature.method_name}")
    fed = single_input(signature, _INPUTS, "regression", check_outputs=_check_output_count)
    if _OUTPUTS not in signature.outputs:
        reject(f"No regression outputs found in SignatureDef: {signature}")
    return Task(fed, {_OUTPUTS: signature.outputs[_OUTPUTS].name})


def regression_result(task: Task, tensors: Mapping[str, Any], count: int, result: RegressionResult) -> None:
    """Fills a response to Regress for `count` examples from tensors by name.

    Raises:
        ServingError: INVALID_ARGUMENT: the tensor isn't `[examples]` or `[examples, 1]` of float32.
    """
    value = tensors[task.outputs[_OUTPUTS]]
    if not (value.ndim == 1 or (value.ndim == 2 and value.shape[1] == 1)):
        reject(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{shape_text(value)}"
        )
    if len(value) != count:
        reject(f"Input batch size did not match output batch size: {count} vs. {len(value)}")
    if (found := data_type(value)) != "DT_FLOAT":
        reject(f"Expected output Tensor of DT_FLOAT.  Got: {found}")
    for number in value.ravel().tolist():
        result.regressions.add(value=number)


def _check_output_count(signature: Any) -> None:
    if len(signature.outputs) != 1:
        reject("Expected one output Tensor.")
