"""The client for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc

from keras_smes_serving.client.base import BaseClient
from keras_smes_serving.client.inputs import Array, SignatureSpec
from keras_smes_serving.client.requests import DEFAULT_SIGNATURE, ModelRef, Ranking
from keras_smes_serving.client.retry import Call, Wait, run_async
from keras_smes_serving.protocol.errors import ServingError


class AsyncClient(BaseClient):
    """`Client` for `asyncio`: the same arguments, methods and errors, awaited.

    It belongs to the event loop in which it was created.

    Args:
        address: str. The server, as `host:port`.
        timeout: float, seconds. The deadline of requests without their own. Defaults to 30.
        retry: `Retry`. Defaults to `Retry()`.
        allow_nan: bool. Defaults to `True`.
        typed_fields: bool. Defaults to `False`.
        on_call: `OnCall`. Defaults to `None`, no function.
        credentials: `grpc.ChannelCredentials`. Defaults to none.
        options: sequence of (str, value). Defaults to none.

    Example:

    ```python
    async with AsyncClient("localhost:8500") as client:
        both = await asyncio.gather(client.predict("smes", rows), client.predict("smes", others))
    ```
    """

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        signature: str = DEFAULT_SIGNATURE,
        *,
        outputs: Sequence[str] | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Scores rows, as `Client.predict` does."""
        target = ModelRef(model, version, label)
        steps = self._requests.predict(target, inputs, signature, outputs, timeout)
        return await run_async(steps, self._take)

    async def rank(
        self,
        model: str,
        user: Mapping[str, Any],
        candidates: Mapping[str, Any],
        *,
        by: str | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> Ranking:
        """Ranks the candidates of one user, as `Client.rank` does."""
        target = ModelRef(model, version, label)
        return await run_async(self._requests.rank(target, user, candidates, by, timeout), self._take)

    async def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, SignatureSpec]:
        """Returns the signatures of a model, as `Client.metadata` does."""
        steps = self._requests.metadata(ModelRef(model, version, label), timeout)
        return await run_async(steps, self._take)

    async def status(self, model: str, *, timeout: float | None = None) -> dict[int, str]:
        """Returns the states of a model's versions, as `Client.status` does."""
        return await run_async(self._requests.status(ModelRef(model), timeout), self._take)

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _open(self, address: str, credentials: Any, options: list[tuple[str, Any]]) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(address, options)
        return grpc.aio.secure_channel(address, credentials, options)

    async def _take(self, step: Call | Wait) -> bytes:
        if isinstance(step, Wait):
            await asyncio.sleep(step.seconds)
            return b""
        began = time.perf_counter()
        try:
            answer: bytes = await self._method(step.method)(step.request, timeout=step.timeout)
        except grpc.RpcError as error:
            self._report(step, began, error.code(), 0)
            raise ServingError(error.code(), error.details() or "") from error
        self._report(step, began, grpc.StatusCode.OK, len(answer))
        return answer
