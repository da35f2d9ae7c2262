"""The gRPC services of a server: passes calls to the API, and errors on as status codes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.server.api import Api
from keras_smes_serving.server.messages import (
    ClassificationRequest,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    MultiInferenceRequest,
    PredictRequest,
    RegressionRequest,
    ReloadConfigRequest,
)
from keras_smes_serving.server.metrics import Metrics, microseconds_since
from keras_smes_serving.server.request_log import RequestLog

_FOREVER: Final = 1e9


def add_services(server: grpc.Server, api: Api, metrics: Metrics) -> None:
    """Adds PredictionService and ModelService to a gRPC server that is not started."""
    calls = _Calls(api, metrics)
    prediction = {
        "Predict": calls.counted("Predict", PredictRequest, api.predict),
        "Classify": calls.counted("Classify", ClassificationRequest, api.classify),
        "Regress": calls.counted("Regress", RegressionRequest, api.regress),
        "MultiInference": calls.plain(
            MultiInferenceRequest,
            lambda request, context: api.multi_inference(request, _seconds_left(context)),
        ),
        "GetModelMetadata": calls.plain(GetModelMetadataRequest, lambda request, _: api.metadata(request)),
    }
    models = {
        "GetModelStatus": calls.plain(GetModelStatusRequest, lambda request, _: api.status(request)),
        "HandleReloadConfigRequest": calls.plain(
            ReloadConfigRequest,
            lambda request, context: api.reload(request, lambda: not context.is_active()),
        ),
    }
    for service, handlers in (("PredictionService", prediction), ("ModelService", models)):
        name = f"tensorflow.serving.{service}"
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, handlers)])


class _Calls:
    """Makes handlers of calls, from bytes to bytes.

    They parse requests themselves: gRPC would parse in the one thread that serves all connections, and log a
    traceback for each invalid request.
    """

    def __init__(self, api: Api, metrics: Metrics) -> None:
        self._api = api
        self._metrics = metrics
        self._log = RequestLog(logging.getLogger(__name__))

    def plain(self, kind: Any, method: Callable[[Any, grpc.ServicerContext], Any]) -> Any:
        """Returns a handler of a kind of requests; the method takes the request and the context."""

        def call(data: bytes, context: grpc.ServicerContext) -> Any:
            return self._answered(context, lambda: method(_parsed(kind, data), context))

        return grpc.unary_unary_rpc_method_handler(call, None, _serialized)

    def counted(self, name: str, kind: Any, method: Callable[[Any, float | None], Any]) -> Any:
        """As `plain`, for a counted method that takes the seconds left."""

        def counted(request: Any, context: grpc.ServicerContext) -> Any:
            with self._counted(name, request):
                return method(request, _seconds_left(context))

        return self.plain(kind, counted)

    @contextmanager
    def _counted(self, name: str, request: Any) -> Iterator[None]:
        began, status = time.perf_counter(), "OK"
        try:
            yield
        except ServingError as error:
            status = error.code.name
            raise
        except BaseException:
            status = grpc.StatusCode.INTERNAL.name
            raise
        finally:
            model = self._api.counted_name(request.model_spec.name)
            self._metrics.request_count.labels(model, status).inc()
            if status == "OK":
                latency = self._metrics.request_latency.labels(model, name, "GRPC")
                latency.observe(microseconds_since(began))

    def _answered(self, context: grpc.ServicerContext, answer: Callable[[], Any]) -> Any:
        try:
            return answer()
        except ServingError as error:
            context.abort(error.code, error.message)
        except Exception as error:
            # A bug of the server; gRPC would return UNKNOWN with the exception's message.
            self._log.exception("A request failed")
            context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        raise AssertionError("abort raises")


def _parsed(kind: Any, data: bytes) -> Any:
    """Parses a message; INVALID_ARGUMENT for strings that aren't UTF-8, gRPC's code for other bytes."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        not_text = "UTF-8" in str(error)
        code = grpc.StatusCode.INVALID_ARGUMENT if not_text else grpc.StatusCode.INTERNAL
        raise ServingError(code, str(error)) from None


def _serialized(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _seconds_left(context: grpc.ServicerContext) -> float | None:
    """Seconds until the client's deadline; None without one, for which gRPC returns a huge number."""
    left = context.time_remaining()
    return left if left is not None and left < _FOREVER else None
