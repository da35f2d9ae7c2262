"""The gRPC services of a server: each call handed to the API, each error told as a status."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from keras_smes.serving.api import Api
from keras_smes.serving.errors import ServingError, grpc
from keras_smes.serving.messages import model_service_pb2_grpc, prediction_service_pb2_grpc
from keras_smes.serving.metrics import Metrics, microseconds_since

_LOG: Final = logging.getLogger(__name__)

_FOREVER: Final = 1e9

Response = TypeVar("Response")


def add_services(server: grpc.Server, api: Api, metrics: Metrics) -> None:
    """Puts PredictionService and ModelService on a gRPC server.

    Args:
        server: `grpc.Server`. Not started yet.
        api: `Api`. Answers the requests.
        metrics: `Metrics`. Counts them.

    Example:

    ```python
    add_services(server, Api(core, metrics), metrics)
    ```
    """
    prediction = _PredictionService(api, metrics)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(api), server)


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, api: Api, metrics: Metrics) -> None:
        self._api = api
        self._metrics = metrics

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._counted("Predict", self._api.predict, request, context)

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._counted("Classify", self._api.classify, request, context)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._counted("Regress", self._api.regress, request, context)

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        remaining = _seconds_left(context)
        return _answered(context, lambda: self._api.multi_inference(request, remaining))

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _answered(context, lambda: self._api.metadata(request))

    def _counted(
        self, api: str, method: Callable[..., Response], request: Any, context: grpc.ServicerContext
    ) -> Response:
        began, status = time.perf_counter(), "OK"
        try:
            return _answered(context, lambda: method(request, _seconds_left(context)))
        except BaseException:
            status = (context.code() or grpc.StatusCode.UNKNOWN).name
            raise
        finally:
            model = self._api.counted_name(request.model_spec.name)
            self._metrics.request_count.labels(model, status).inc()
            if status == "OK":
                latency = self._metrics.request_latency.labels(model, api, "GRPC")
                latency.observe(microseconds_since(began))


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, api: Api) -> None:
        self._api = api

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _answered(context, lambda: self._api.status(request))

    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _answered(context, lambda: self._api.reload(request, lambda: not context.is_active()))


def _seconds_left(context: grpc.ServicerContext) -> float | None:
    """How long the client will wait; None for ever, which gRPC tells as some hundred billion years."""
    left = context.time_remaining()
    return left if left is not None and left < _FOREVER else None


def _answered(context: grpc.ServicerContext, answer: Callable[[], Response]) -> Response:
    try:
        return answer()
    except ServingError as error:
        context.abort(error.code, error.message)
    except Exception as error:
        # A mistake of ours, not the client's; without this the status would be UNKNOWN, and the
        # text that of the exception.
        _LOG.exception("A request failed")
        context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
    raise AssertionError("abort raises")
