"""The common part of both clients."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import grpc

from keras_smes_serving.client.requests import Requests
from keras_smes_serving.client.retry import Call, OnCall, Retry

_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 60_000),  # detects a lost server during a call
)


class BaseClient:
    """A channel to a server, its methods, and its requests."""

    def __init__(
        self,
        address: str,
        timeout: float = 30.0,
        *,
        retry: Retry = Retry(),  # noqa: B008
        allow_nan: bool = True,
        typed_fields: bool = False,
        on_call: OnCall | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._requests = Requests(timeout, retry, allow_nan, typed_fields)
        self._on_call = on_call
        self._methods: dict[str, Any] = {}
        self._channel = self._open(address, credentials, [*_CHANNEL_OPTIONS, *options])

    def _open(self, address: str, credentials: Any, options: list[tuple[str, Any]]) -> Any:
        raise NotImplementedError

    def _method(self, path: str) -> Any:
        """Returns a method of the server, from bytes to bytes."""
        if path not in self._methods:
            self._methods[path] = self._channel.unary_unary(path)
        return self._methods[path]

    def _report(self, call: Call, began: float, code: grpc.StatusCode, size: int) -> None:
        if self._on_call is not None:
            seconds = time.perf_counter() - began
            self._on_call(call.model, call.signature, code, seconds, len(call.request), size)
