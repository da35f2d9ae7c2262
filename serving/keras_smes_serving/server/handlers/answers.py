"""Responses of a servable to the requests of gRPC, REST or a warm-up file.

They name the signature, but not model and version, which a servable doesn't know. All functions raise
`ServingError` with the code and message of TensorFlow Serving. A `timeout` in seconds cancels the run.
"""

from __future__ import annotations

from typing import Any

import grpc

from keras_smes_serving.protocol.errors import ServingError, reject
from keras_smes_serving.protocol.tensors import encode_content, encode_fields
from keras_smes_serving.server.handlers import classification, regression
from keras_smes_serving.server.handlers.examples import Task, serialized_examples
from keras_smes_serving.server.messages import (
    ClassificationRequest,
    ClassificationResponse,
    MultiInferenceRequest,
    MultiInferenceResponse,
    PredictRequest,
    PredictResponse,
    RegressionRequest,
    RegressionResponse,
)
from keras_smes_serving.server.runtime.servable import DEFAULT_SIGNATURE, Servable


def predict(
    servable: Servable, request: PredictRequest, timeout: float | None = None, as_content: bool = False
) -> PredictResponse:
    """Handles Predict; `as_content` returns tensors as blocks of bytes instead of typed fields."""
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    outputs = servable.predict(name, request.inputs, request.output_filter, timeout)
    response = PredictResponse()
    response.model_spec.signature_name = name
    encode = encode_content if as_content else encode_fields
    for alias, value in outputs.items():
        encode(value, response.outputs[alias])
    return response


def classify(
    servable: Servable,
    request: ClassificationRequest,
    timeout: float | None = None,
    check_method: bool = False,
) -> ClassificationResponse:
    """Handles Classify; `check_method` requires the signature's method name to be that of Classify."""
    name, signature = _signature(servable, request)
    task = classification.classification_task(signature, check_method)
    count, tensors = _run(servable, request, [task], timeout)
    response = ClassificationResponse()
    response.model_spec.signature_name = name
    response.result.SetInParent()
    classification.classification_result(task, tensors, count, response.result)
    return response


def regress(
    servable: Servable,
    request: RegressionRequest,
    timeout: float | None = None,
    check_method: bool = False,
) -> RegressionResponse:
    """Handles Regress; `check_method` requires the signature's method name to be that of Regress."""
    name, signature = _signature(servable, request)
    task = regression.regression_task(signature, check_method)
    count, tensors = _run(servable, request, [task], timeout)
    response = RegressionResponse()
    response.model_spec.signature_name = name
    response.result.SetInParent()
    regression.regression_result(task, tensors, count, response.result)
    return response


def multi_inference(
    servable: Servable, request: MultiInferenceRequest, timeout: float | None = None
) -> MultiInferenceResponse:
    """Handles MultiInference: several signatures over the same examples, in one run."""
    _check_tasks(servable, request)
    tasks = [_inference_task(servable, task) for task in request.tasks]
    count, tensors = _run(servable, request, tasks, timeout)
    response = MultiInferenceResponse()
    for wanted, task in zip(request.tasks, tasks, strict=True):
        result = response.results.add()
        result.model_spec.name = wanted.model_spec.name
        result.model_spec.signature_name = wanted.model_spec.signature_name or DEFAULT_SIGNATURE
        if wanted.method_name == classification.METHOD:
            result.classification_result.SetInParent()
            classification.classification_result(task, tensors, count, result.classification_result)
        else:
            result.regression_result.SetInParent()
            regression.regression_result(task, tensors, count, result.regression_result)
    return response


def _signature(servable: Servable, request: Any) -> tuple[str, Any]:
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        reject(f"No signature was found with the name: {name}")
    return name, servable.signatures[name]


def _run(
    servable: Servable, request: Any, tasks: list[Task], timeout: float | None
) -> tuple[int, dict[str, Any]]:
    """Runs all tasks at once; returns the number of examples, and the tensors by name."""
    examples = serialized_examples(request.input)
    outputs = sorted({name for task in tasks for name in task.outputs.values()})
    return len(examples), servable.run({task.fed: examples for task in tasks}, outputs, timeout)


def _check_tasks(servable: Servable, request: MultiInferenceRequest) -> None:
    seen: set[str] = set()
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if not task.model_spec.name:
            reject("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            reject("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        if name in seen:
            reject(f"Duplicate evaluation of signature: {name}")
        if name not in servable.signatures:
            reject(f"Requested signature not found in model graph: {name}")
        seen.add(name)


def _inference_task(servable: Servable, task: Any) -> Task:
    signature = servable.signatures[task.model_spec.signature_name or DEFAULT_SIGNATURE]
    if task.method_name == classification.METHOD:
        return classification.classification_task(signature)
    if task.method_name == regression.METHOD:
        return regression.regression_task(signature)
    text = f"Unsupported signature method_name: {task.method_name}"
    raise ServingError(grpc.StatusCode.UNIMPLEMENTED, text)
