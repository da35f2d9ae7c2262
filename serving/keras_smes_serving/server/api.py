"""The API of a server, independent of the transport: messages in, messages out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc

from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.server.handlers import answers
from keras_smes_serving.server.messages import (
    ClassificationRequest,
    ClassificationResponse,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelSpec,
    MultiInferenceRequest,
    MultiInferenceResponse,
    PredictRequest,
    PredictResponse,
    RegressionRequest,
    RegressionResponse,
    ReloadConfigRequest,
    ReloadConfigResponse,
    SignatureDefMap,
)
from keras_smes_serving.server.metrics import Metrics
from keras_smes_serving.server.models.core import ServerCore

SIGNATURE_DEF: Final = "signature_def"


class Api:
    """Handles requests with the models of a core.

    Every method raises `ServingError` with the code and message of TensorFlow Serving. A `timeout` in seconds
    cancels the run.

    Args:
        core: `ServerCore`. The models.
        metrics: `Metrics`. Records run times.
        as_content: bool. Whether Predict returns tensors as blocks of bytes. Defaults to False.
        check_methods: bool. Whether signatures must have the method name of the request. Defaults to False.
    """

    def __init__(
        self, core: ServerCore, metrics: Metrics, as_content: bool = False, check_methods: bool = False
    ) -> None:
        self._core = core
        self._metrics = metrics
        self._as_content = as_content
        self._check_methods = check_methods

    def counted_name(self, name: str) -> str:
        """Returns the name for counters: empty for unknown models, whose names clients choose freely."""
        return name if self._core.knows(name) else ""

    def predict(self, request: PredictRequest, timeout: float | None = None) -> PredictResponse:
        """Handles Predict."""
        spec = _required_spec(request)
        with self._core.use(spec) as (version, servable), self._metrics.runtime(spec.name, "Predict"):
            response = answers.predict(servable, request, timeout, self._as_content)
        return _named(response, spec, version)

    def classify(
        self, request: ClassificationRequest, timeout: float | None = None
    ) -> ClassificationResponse:
        """Handles Classify."""
        spec = _required_spec(request)
        with self._core.use(spec) as (version, servable), self._metrics.runtime(spec.name, "Classify"):
            response = answers.classify(servable, request, timeout, self._check_methods)
        return _named(response, spec, version)

    def regress(self, request: RegressionRequest, timeout: float | None = None) -> RegressionResponse:
        """Handles Regress."""
        spec = _required_spec(request)
        with self._core.use(spec) as (version, servable), self._metrics.runtime(spec.name, "Regress"):
            response = answers.regress(servable, request, timeout, self._check_methods)
        return _named(response, spec, version)

    def multi_inference(
        self, request: MultiInferenceRequest, timeout: float | None = None
    ) -> MultiInferenceResponse:
        """Handles MultiInference."""
        spec = request.tasks[0].model_spec if request.tasks else ModelSpec()
        with self._core.use(spec) as (version, servable):
            response = answers.multi_inference(servable, request, timeout)
        for result in response.results:
            result.model_spec.version.value = version
        return response

    def metadata(self, request: GetModelMetadataRequest) -> GetModelMetadataResponse:
        """Handles GetModelMetadata."""
        spec = _required_spec(request)
        _check_metadata_fields(request.metadata_field)
        signatures = SignatureDefMap()
        with self._core.use(spec) as (version, servable):
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response = GetModelMetadataResponse()
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return _named(response, spec, version)

    def status(self, request: GetModelStatusRequest) -> GetModelStatusResponse:
        """Handles GetModelStatus."""
        response = GetModelStatusResponse()
        for version, status in self._core.status(_required_spec(request)).items():
            told = response.model_version_status.add(version=version, state=int(status.state))
            told.status.SetInParent()  # OK without a message, unless there is an error
            told.status.error_code = status.code.value[0]
            told.status.error_message = status.message
        return response

    def reload(self, request: ReloadConfigRequest, gave_up: Callable[[], bool]) -> ReloadConfigResponse:
        """Handles HandleReloadConfigRequest; `gave_up` returns whether the caller has given up."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is "
                "currently supported",
            )
        before = {name: self._metrics.value(name) for name in request.metric_names}
        self._core.reload(request.config, gave_up)
        response = ReloadConfigResponse()
        response.status.SetInParent()
        for name, value in before.items():
            response.metric.add(name=name, int64_value_increase=self._metrics.value(name) - value)
        return response


def _required_spec(request: Any) -> ModelSpec:
    if not request.HasField("model_spec"):
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
    return request.model_spec


def _named(response: Any, spec: ModelSpec, version: int) -> Any:
    """Writes model and version into a response; a label is never echoed."""
    response.model_spec.name = spec.name
    response.model_spec.version.value = version
    return response


def _check_metadata_fields(fields: Any) -> None:
    if not fields:
        text = "GetModelMetadataRequest must specify at least one metadata_field"
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)
    for field in fields:
        if field != SIGNATURE_DEF:
            text = f"Metadata field {field} is not supported"
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)
