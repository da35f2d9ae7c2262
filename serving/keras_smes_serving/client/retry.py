"""Deadline and retries of a client's calls."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final, Protocol, TypeVar

import grpc

from keras_smes_serving.protocol.errors import ServingError

Result = TypeVar("Result")

_FOREVER: Final = 1e9
_DOUBLINGS: Final = 60


def checked_timeout(timeout: Any) -> float:
    """Validates a timeout in seconds; infinity for none."""
    is_number: bool = isinstance(timeout, Real) and not isinstance(timeout, bool)
    if not is_number:
        raise ValueError(f"`timeout` must be a number of seconds. Received: timeout={timeout!r}")
    if not timeout > 0:
        raise ValueError(f"`timeout` must be positive. Received: timeout={timeout}")
    return float(timeout) if timeout < _FOREVER else math.inf


def for_grpc(seconds: float) -> float | None:
    """Converts a timeout for gRPC, which overflows beyond some thirty years."""
    return seconds if seconds < _FOREVER else None


@dataclass(frozen=True)
class Call:
    """A step that calls a method; its result is the response in bytes."""

    method: str
    model: str
    signature: str
    request: bytes
    timeout: float | None


@dataclass(frozen=True)
class Wait:
    """A step that pauses."""

    seconds: float


# A request as steps without a network; each client runs them in its own way.
Steps = Generator[Call | Wait, bytes, Result]


class OnCall(Protocol):
    """A callback of a client after each call, for metrics.

    It is called in the thread or event loop of the call. It must return soon and must not raise.
    """

    def __call__(
        self,
        model: str,
        signature: str,
        code: grpc.StatusCode,
        seconds: float,
        request_bytes: int,
        response_bytes: int,
    ) -> None:
        """Receives one call; `signature` is empty for metadata and status."""


@dataclass(frozen=True)
class Retry:
    """Retries of calls that reach no server, or one whose queue is full.

    Only UNAVAILABLE is retried; scoring has no side effects. Pauses are random up to `base * 2**n`, so that
    clients don't return at once, and never exceed the deadline.

    Args:
        attempts: int. Maximum number of calls; 1 for no retries. Defaults to 3.
        base: float, seconds. Upper bound of the first pause. Defaults to 0.05.
        most: float, seconds. Upper bound of all pauses. Defaults to 1.

    Example:

    ```python
    Client("localhost:8500", retry=Retry(attempts=5))
    ```
    """

    attempts: int = 3
    base: float = 0.05
    most: float = 1.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"`attempts` must be at least 1. Received: attempts={self.attempts}")
        if not (self.base >= 0 and self.most >= 0):
            raise ValueError(
                f"`base` and `most` must not be negative. Received: base={self.base}, most={self.most}"
            )

    def pause(self, number: int) -> float:
        """Draws the pause in seconds after failed attempt `number`, from 0."""
        return random.uniform(0.0, min(self.most, self.base * 2.0 ** min(number, _DOUBLINGS)))


@dataclass(frozen=True)
class Caller:
    """Makes the calls of one request, all before one deadline.

    Args:
        model: str. The model.
        signature: str. The signature; empty for metadata and status.
        deadline: float, seconds. By `time.monotonic`.
        retry: `Retry`.
    """

    model: str
    signature: str
    deadline: float
    retry: Retry

    def call(self, method: str, request: bytes) -> Steps[bytes]:
        """The steps of one call with its retries, from a request in bytes to a response in bytes.

        Raises:
            ServingError: The last attempt failed, or the deadline has passed.
        """
        for attempt in range(self.retry.attempts):
            try:
                return (yield Call(method, self.model, self.signature, request, for_grpc(self._left())))
            except ServingError as error:
                pause = self.retry.pause(attempt)
                last = attempt + 1 == self.retry.attempts
                if error.code is not grpc.StatusCode.UNAVAILABLE or last or pause >= self._left():
                    raise
            yield Wait(pause)
        raise AssertionError("the last attempt returns or raises")

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        return left


def run(steps: Steps[Result], take: Callable[[Call | Wait], bytes]) -> Result:
    """Runs steps with `take`, a function from a step to its result, and returns the final result."""
    try:
        step = next(steps)
        while True:
            try:
                answer = take(step)
            except ServingError as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


async def run_async(steps: Steps[Result], take: Callable[[Call | Wait], Awaitable[bytes]]) -> Result:
    """As `run`, with a coroutine function `take`."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await take(step)
            except ServingError as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
