"""A complete server: builds, starts and stops its parts in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Final

from keras_smes_serving.server.api import Api
from keras_smes_serving.server.config_files import read_monitoring_config, read_text
from keras_smes_serving.server.flags import Flags
from keras_smes_serving.server.grpc.server import GrpcServer
from keras_smes_serving.server.messages import ModelServerConfig
from keras_smes_serving.server.metrics import Metrics
from keras_smes_serving.server.models.configs import single_model
from keras_smes_serving.server.models.core import ServerCore
from keras_smes_serving.server.models.manager import Manager
from keras_smes_serving.server.models.model_loader import ServableLoader
from keras_smes_serving.server.models.source import Periodic
from keras_smes_serving.server.models.states import StateBoard
from keras_smes_serving.server.rest.api import RestApi
from keras_smes_serving.server.rest.server import METRICS_PATH, RestServer

DRAIN_SECONDS: Final = 30.0
"""Time for requests in flight once the server stops: Kubernetes' default grace period."""

_CANCELLING: Final = 1.0
_FOREVER: Final = 1e9


class ModelServer:
    """TensorFlow Serving's API in one Python process.

    Args:
        flags: `Flags`. The flags of tensorflow_model_server.
        host: str. The address to listen on. Defaults to `"127.0.0.1"`, this machine only.
        rest_port: int. TCP port of the REST API; 0 takes any free one. Defaults to the flag `rest_api_port`,
            where 0 is no REST API.
    """

    def __init__(self, flags: Flags, host: str = "127.0.0.1", rest_port: int | None = None) -> None:
        self.flags = flags
        self.host = host
        self.port = flags.port
        self.rest_port = flags.rest_api_port or None if rest_port is None else rest_port
        self._parts = ExitStack()
        self._deadline: float | None = None

    @property
    def address(self) -> str:
        """str. The gRPC address, as `host:port`; with the real port once the server has started."""
        return f"{self.host}:{self.port}"

    def start(self, gave_up: Callable[[], bool] = lambda: False) -> None:
        """Loads the models, then opens the ports, once each model has an available version.

        Args:
            gave_up: function without arguments. Returns whether the caller has given up: the ports are then
                opened without waiting.

        Raises:
            ServingError: A model has no loadable version, or the configuration is rejected.
            OSError, ValueError: A configuration file can't be read.
            RuntimeError: A port is taken.
        """
        with ExitStack() as parts:
            metrics = Metrics()
            core = self._start_core(parts, metrics)
            config = self._read_config()
            core.reload(config, gave_up)
            self._start_polling(parts, core)
            api = Api(
                core,
                metrics,
                self.flags.enable_serialization_as_tensor_content,
                self.flags.enable_signature_method_name_check,
            )
            self._listen(parts, core, api, metrics)
            self._parts = parts.pop_all()

    def stop(self, grace: float = DRAIN_SECONDS) -> None:
        """Rejects new requests, finishes those in flight and unloads the models.

        Args:
            grace: float, seconds. The deadline: later requests are cancelled, and later loads abandoned.
                Defaults to 30.
        """
        self._deadline = time.monotonic() + min(grace, _FOREVER)
        self._parts.close()

    def __enter__(self) -> ModelServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _listen(self, parts: ExitStack, core: ServerCore, api: Api, metrics: Metrics) -> None:
        """Opens the ports, REST last: if it is open, gRPC is open too."""
        rpc = GrpcServer(self.flags, api, metrics)
        self.port = rpc.start(self.host, self.port)
        parts.callback(lambda: rpc.stop(self._left()).wait(self._left() + _CANCELLING))
        if self.rest_port is not None:
            timeout = self.flags.rest_api_timeout_in_ms / 1000
            rest = RestServer(
                RestApi(core, api, metrics, timeout),
                metrics,
                self.flags.rest_api_num_threads,
                self.flags.rest_api_enable_cors_support,
                _metrics_path(self.flags.monitoring_config_file),
            )
            self.rest_port = rest.start(self.host, self.rest_port)
            parts.callback(self._stop_both, rpc, rest)

    def _stop_both(self, rpc: GrpcServer, rest: RestServer) -> None:
        rpc.stop(self._left())  # returns at once: both drain concurrently
        rest.stop(self._left())

    def _left(self) -> float:
        """Seconds until the deadline of `stop`."""
        return DRAIN_SECONDS if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _read_config(self) -> ModelServerConfig:
        if self.flags.model_config_file:
            return read_text(self.flags.model_config_file, ModelServerConfig())
        return single_model(self.flags.model_name, self.flags.model_base_path)

    def _start_core(self, parts: ExitStack, metrics: Metrics) -> ServerCore:
        flags, board = self.flags, StateBoard()
        loader = ServableLoader(flags, metrics)
        parts.callback(lambda: loader.close(self._left()))
        manager = Manager(
            loader,
            board,
            flags.max_num_load_retries,
            flags.load_retry_interval_micros / 1e6,
            max(1, flags.num_load_threads),
            max(1, flags.num_unload_threads),
        )
        core = ServerCore(
            manager,
            board,
            flags.file_system_poll_wait_seconds,
            flags.allow_version_labels_for_unavailable_models,
        )
        parts.callback(lambda: core.close(self._left()))
        return core

    def _start_polling(self, parts: ExitStack, core: ServerCore) -> None:
        """Polls the model config file, if configured."""
        if self.flags.model_config_file:
            seconds = self.flags.model_config_file_poll_wait_seconds

            def read_again() -> None:
                # Without waiting for models: a later file may correct this one.
                core.reload(self._read_config(), gave_up=lambda: True)

            poll = Periodic(read_again, seconds, "poll of the model config file")
            parts.callback(lambda: poll.stop(self._left()))


def _metrics_path(path: str) -> str:
    """The path of Prometheus' page; empty if disabled."""
    config = read_monitoring_config(path).prometheus_config if path else None
    if config is None or not config.enable:
        return ""
    return config.path or METRICS_PATH
