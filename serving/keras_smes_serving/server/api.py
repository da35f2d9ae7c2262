"""The API of a server, whatever it is reached by: messages in, messages out."""

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
    """Answers requests with the models of a core.

    Every method raises `ServingError`, with the code and the text of TensorFlow Serving.

    Args:
        core: `ServerCore`. Knows the models.
        metrics: `Metrics`. Is told how long the models took.
        as_content: bool. Whether Predict's tensors come as blocks of bytes. Defaults to False.
        check_methods: bool. Whether signatures must name the method that they are asked by.
            Defaults to False.

    Example:

    ```python
    Api(core, Metrics()).predict(request, timeout=1.0)
    ```
    """

    def __init__(
        self, core: ServerCore, metrics: Metrics, as_content: bool = False, check_methods: bool = False
    ) -> None:
        self._core = core
        self._metrics = metrics
        self._as_content = as_content
        self._check_methods = check_methods

    def counted_name(self, name: str) -> str:
        """Names what a request is counted under: clients choose names, and counters stay for good.

        Args:
            name: str. The name that was asked for.

        Returns:
            str. The same, or the empty string if there is no such model.
        """
        return name if self._core.knows(name) else ""

    def predict(self, request: PredictRequest, timeout: float | None = None) -> PredictResponse:
        """Answers Predict.

        Args:
            request: `PredictRequest` message.
            timeout: float, seconds. After which the run is cancelled. Defaults to never.

        Returns:
            `PredictResponse` message.
        """
        spec = _required_spec(request)
        with self._core.use(spec) as (version, servable), self._metrics.runtime(spec.name, "Predict"):
            response = answers.predict(servable, request, timeout, self._as_content)
        return _named(response, spec, version)

    def classify(
        self, request: ClassificationRequest, timeout: float | None = None
    ) -> ClassificationResponse:
        """Answers Classify.

        Args:
            request: `ClassificationRequest` message.
            timeout: float, seconds. After which the run is cancelled. Defaults to never.

        Returns:
            `ClassificationResponse` message.
        """
        spec = _required_spec(request)
        with self._core.use(spec) as (version, servable), self._metrics.runtime(spec.name, "Classify"):
            response = answers.classify(servable, request, timeout, self._check_methods)
        return _named(response, spec, version)

    def regress(self, request: RegressionRequest, timeout: float | None = None) -> RegressionResponse:
        """Answers Regress.

        Args:
            request: `RegressionRequest` message.
            timeout: float, seconds. After which the run is cancelled. Defaults to never.

        Returns:
            `RegressionResponse` message.
        """
        spec = _required_spec(request)
        with self._core.use(spec) as (version, servable), self._metrics.runtime(spec.name, "Regress"):
            response = answers.regress(servable, request, timeout, self._check_methods)
        return _named(response, spec, version)

    def multi_inference(
        self, request: MultiInferenceRequest, timeout: float | None = None
    ) -> MultiInferenceResponse:
        """Answers MultiInference.

        Args:
            request: `MultiInferenceRequest` message.
            timeout: float, seconds. After which the run is cancelled. Defaults to never.

        Returns:
            `MultiInferenceResponse` message.
        """
        spec = request.tasks[0].model_spec if request.tasks else ModelSpec()
        with self._core.use(spec) as (version, servable):
            response = answers.multi_inference(servable, request, timeout)
        for result in response.results:
            result.model_spec.version.value = version
        return response

    def metadata(self, request: GetModelMetadataRequest) -> GetModelMetadataResponse:
        """Answers GetModelMetadata.

        Args:
            request: `GetModelMetadataRequest` message.

        Returns:
            `GetModelMetadataResponse` message.
        """
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
        """Answers GetModelStatus.

        Args:
            request: `GetModelStatusRequest` message.

        Returns:
            `GetModelStatusResponse` message.
        """
        response = GetModelStatusResponse()
        for version, status in self._core.status(_required_spec(request)).items():
            told = response.model_version_status.add(version=version, state=int(status.state))
            told.status.SetInParent()  # OK, with no text, unless there is an error to tell
            told.status.error_code = status.code.value[0]
            told.status.error_message = status.message
        return response

    def reload(self, request: ReloadConfigRequest, gave_up: Callable[[], bool]) -> ReloadConfigResponse:
        """Answers HandleReloadConfigRequest.

        Args:
            request: `ReloadConfigRequest` message.
            gave_up: function without arguments. Returns whether the caller has given up.

        Returns:
            `ReloadConfigResponse` message.
        """
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
    """Writes into an answer which model and version gave it; a label is never echoed."""
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
