"""One call of a client after another: how long it may take, and whether it is made again."""

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
    """Checks a timeout that a user gave.

    Args:
        timeout: float, seconds. Infinity for none.

    Returns:
        float, seconds.

    Raises:
        ValueError: It isn't a positive number.

    Example:

    ```python
    checked_timeout(30)  # 30.0
    ```
    """
    is_number: bool = isinstance(timeout, Real) and not isinstance(timeout, bool)
    if not is_number:
        raise ValueError(f"`timeout` must be a number of seconds. Received: timeout={timeout!r}")
    if not timeout > 0:
        raise ValueError(f"`timeout` must be positive. Received: timeout={timeout}")
    return float(timeout) if timeout < _FOREVER else math.inf


def for_grpc(seconds: float) -> float | None:
    """Turns seconds into what gRPC takes: more than some thirty years overflow there, and are none."""
    return seconds if seconds < _FOREVER else None


@dataclass(frozen=True)
class Call:
    """A call that is to be made: the step's answer is the message that comes back, in bytes."""

    method: str
    model: str
    signature: str
    request: bytes
    timeout: float | None


@dataclass(frozen=True)
class Wait:
    """A pause that is to be made; it has no answer."""

    seconds: float


# What is asked, as steps that know no network; a client of either kind takes them one by one.
Steps = Generator[Call | Wait, bytes, Result]


class OnCall(Protocol):
    """What a client tells of each call that it made: the place for metrics.

    It is called in the thread or event loop of the call, must return soon and must not raise.
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
        """Takes one call in; `signature` is empty where the model itself is asked about."""


@dataclass(frozen=True)
class Retry:
    """How often a call is made again that found no server, or a full one.

    Only UNAVAILABLE is tried again: nothing answered, or a queue was full; and scoring twice does no
    harm. The pauses are random, up to a bound that doubles, `base * 2**n`, so that clients don't
    return all at once; none of them goes beyond the deadline.

    Args:
        attempts: int. Calls in all; 1 never tries again. Defaults to 3.
        base: float, seconds. The bound of the first pause. Defaults to 0.05.
        most: float, seconds. What the bound grows to. Defaults to 1.

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
        """Draws the pause after an attempt that failed.

        Args:
            number: int. The attempt, from 0.

        Returns:
            float, seconds.
        """
        return random.uniform(0.0, min(self.most, self.base * 2.0 ** min(number, _DOUBLINGS)))


@dataclass(frozen=True)
class Caller:
    """Makes the calls that one request takes, all of them before one deadline.

    Args:
        model: str. Whom to ask.
        signature: str. The signature; empty where the model itself is asked about.
        deadline: float, seconds. By `time.monotonic`.
        retry: `Retry`.
    """

    model: str
    signature: str
    deadline: float
    retry: Retry

    def call(self, method: str, request: bytes) -> Steps[bytes]:
        """The steps of one call, and of the same call again.

        Args:
            method: str. The path of the method.
            request: bytes. The message that is sent.

        Returns:
            generator of `Call` and `Wait`. Returns the message that came back, in bytes.

        Raises:
            ServingError: The last attempt failed, or time is up.
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
    """Takes steps until there is a result.

    Args:
        steps: generator of `Call` and `Wait`.
        take: function of a step to its answer. Raises `ServingError`.

    Returns:
        What the steps return.
    """
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
    """Takes steps until there is a result, as `run` does.

    Args:
        steps: generator of `Call` and `Wait`.
        take: coroutine function of a step to its answer. Raises `ServingError`.

    Returns:
        What the steps return.
    """
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
