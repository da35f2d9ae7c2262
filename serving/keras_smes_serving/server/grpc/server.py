"""A gRPC server: its ports, credentials and services."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

from keras_smes_serving.server import INSTALL_HINT
from keras_smes_serving.server.api import Api
from keras_smes_serving.server.flags import Flags
from keras_smes_serving.server.grpc.services import add_services
from keras_smes_serving.server.grpc.tls import server_credentials
from keras_smes_serving.server.metrics import Metrics

try:
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
except ImportError as error:
    raise ImportError(INSTALL_HINT) from error

_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.so_reuseport", 0),  # otherwise a second server would silently take half of the requests
)
_HEALTH_SERVICES: Final = ("", "ModelService", "PredictionService")  # short names, as in TensorFlow Serving


class GrpcServer:
    """The gRPC side of a server.

    Args:
        flags: `Flags`. Threads, channel arguments, TLS, socket and health.
        api: `Api`. Handles the requests.
        metrics: `Metrics`. Counts them.
    """

    def __init__(self, flags: Flags, api: Api, metrics: Metrics) -> None:
        self._flags = flags
        threads = flags.grpc_max_threads or 4 * (os.cpu_count() or 1)
        options = [*_CHANNEL_OPTIONS, *channel_options(flags.grpc_channel_arguments)]
        self._server = grpc.server(ThreadPoolExecutor(threads, "grpc"), options=options)
        self._health = health.HealthServicer()
        if flags.enable_grpc_healthcheck_service:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        add_services(self._server, api, metrics)

    def start(self, host: str, port: int) -> int:
        """Opens the ports; returns the TCP port, for 0 any free one.

        Raises:
            OSError, ValueError: The file of keys and certificates is unreadable or invalid.
            RuntimeError: The port or the socket is taken.
        """
        addresses = [f"{host}:{port}"]
        if self._flags.grpc_socket_path:
            addresses.append(f"unix:{self._flags.grpc_socket_path}")
        port = self._listen(addresses)
        self._server.start()
        for service in _HEALTH_SERVICES:
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return port

    def stop(self, grace: float) -> threading.Event:
        """Rejects new requests and returns at once; the event is set when those in flight are finished.

        Args:
            grace: float, seconds. Requests that take longer are cancelled.
        """
        self._health.enter_graceful_shutdown()
        stopped: threading.Event = self._server.stop(grace)
        return stopped

    def _listen(self, addresses: Iterable[str]) -> int:
        """Binds the addresses; returns the port of the first."""
        credentials = server_credentials(self._flags.ssl_config_file)
        ports = [
            self._server.add_secure_port(address, credentials)
            if credentials
            else self._server.add_insecure_port(address)
            for address in addresses
        ]
        return ports[0]


def channel_options(text: str) -> list[tuple[str, int | str]]:
    """Parses `--grpc_channel_arguments`, such as
    `"grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb"`.

    Raises:
        ValueError: An argument has no value.
    """
    options: list[tuple[str, int | str]] = []
    for argument in text.split(",") if text else ():
        name, equals, value = argument.partition("=")
        if not name or not equals:
            raise ValueError(
                f"`--grpc_channel_arguments` must be name=value, separated by commas. Received: {text}"
            )
        try:
            options.append((name, int(value)))
        except ValueError:
            options.append((name, value))
    return options
