"""The gRPC services of a server: requests taken apart, answers put together, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from keras_smes.serving.errors import ServingError, grpc
from keras_smes.serving.messages import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from keras_smes.serving.models import Model
from keras_smes.serving.protocol import encode_fields
from keras_smes.serving.servable import DEFAULT_SIGNATURE

SIGNATURE_DEF = "signature_def"

Response = TypeVar("Response")


def add_services(server: grpc.Server, model: Model) -> None:
    """Puts PredictionService and ModelService of a model on a gRPC server.

    What isn't implemented yet answers UNIMPLEMENTED, by the generated base classes.

    Args:
        server: `grpc.Server`. Not started yet.
        model: `Model`. Answers the requests.

    Example:

    ```python
    add_services(server, Model("smes", "models/smes"))
    ```
    """
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(model), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(model), server)


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, model: Model) -> None:
        self._model = model

    def Predict(self, request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        return _answered(context, lambda: _predict(self._model, request, context.time_remaining()))

    def GetModelMetadata(
        self, request: GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> GetModelMetadataResponse:
        return _answered(context, lambda: _metadata(self._model, request))


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, model: Model) -> None:
        self._model = model

    def GetModelStatus(
        self, request: GetModelStatusRequest, context: grpc.ServicerContext
    ) -> GetModelStatusResponse:
        return _answered(context, lambda: _status(self._model, request))


def _answered(context: grpc.ServicerContext, answer: Callable[[], Response]) -> Response:
    try:
        return answer()
    except ServingError as error:
        context.abort(error.code, error.message)
        raise  # abort has raised already; this tells the type checker


def _predict(model: Model, request: PredictRequest, timeout: float | None) -> PredictResponse:
    _require_spec(request)
    servable = model.find(request.model_spec)
    signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    outputs = servable.predict(signature_name, request.inputs, request.output_filter, timeout)
    response = PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = model.version
    response.model_spec.signature_name = signature_name
    for alias, value in outputs.items():
        encode_fields(value, response.outputs[alias])
    return response


def _metadata(model: Model, request: GetModelMetadataRequest) -> GetModelMetadataResponse:
    _require_spec(request)
    _check_metadata_fields(request.metadata_field)
    servable = model.find(request.model_spec)
    signatures = SignatureDefMap()
    for name, signature in servable.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    response = GetModelMetadataResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = model.version
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def _status(model: Model, request: GetModelStatusRequest) -> GetModelStatusResponse:
    _require_spec(request)
    response = GetModelStatusResponse()
    for version in model.available_versions(request.model_spec):
        status = response.model_version_status.add(version=version, state=ModelVersionStatus.AVAILABLE)
        status.status.SetInParent()  # OK, with no text
    return response


def _require_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")


def _check_metadata_fields(fields: Any) -> None:
    if not fields:
        text = "GetModelMetadataRequest must specify at least one metadata_field"
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)
    for field in fields:
        if field != SIGNATURE_DEF:
            text = f"Metadata field {field} is not supported"
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)
