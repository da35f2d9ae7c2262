"""A session that batches the requests of several clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from keras_smes_serving.protocol.errors import ServingError, reject
from keras_smes_serving.server.batching.options import BatchingOptions
from keras_smes_serving.server.batching.queue import BatchScheduler, Piece
from keras_smes_serving.server.batching.tensors import joined, merged, row_count, split
from keras_smes_serving.server.metrics import Metrics
from keras_smes_serving.server.runtime.session import Array, Runner


class _Request:
    """A request that waits for its pieces."""

    def __init__(self, inputs: Mapping[str, Array], timeout: float | None) -> None:
        self.inputs = inputs
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.outputs: list[list[Array] | None] = []
        self.error: Exception | None = None
        self._missing = 0
        self._lock = threading.Lock()
        self._done = threading.Event()

    def pieces(self, sizes: Sequence[int]) -> list[Piece]:
        self.outputs, self._missing = [None] * len(sizes), len(sizes)
        starts = [sum(sizes[:index]) for index in range(len(sizes))]
        return [
            Piece(size, (self, index, start))
            for index, (size, start) in enumerate(zip(sizes, starts, strict=True))
        ]

    def finish(self, index: int, outputs: list[Array] | None, error: Exception | None) -> None:
        with self._lock:
            self.outputs[index] = outputs
            self.error = self.error or error
            self._missing -= 1
            if self._missing == 0:
                self._done.set()

    def wait(self) -> list[Array]:
        self._done.wait()
        if self.error is not None:
            raise self.error
        return joined([outputs for outputs in self.outputs if outputs is not None])


class BatchingSession:
    """Batches requests for the same tensors, by the rules of TensorFlow Serving.

    Each combination of inputs, their dtypes and outputs has its own queue.

    Args:
        session: `Runner`. Runs the batches.
        options: `BatchingOptions`.
        scheduler: `BatchScheduler`. May be shared with other sessions.
        metrics: `Metrics`. Records the batches.
    """

    def __init__(
        self, session: Runner, options: BatchingOptions, scheduler: BatchScheduler, metrics: Metrics
    ) -> None:
        self.signatures = session.signatures
        self._session = session
        self._options = options
        self._scheduler = scheduler
        self._metrics = metrics

    def run(
        self, inputs: Mapping[str, Array], outputs: Sequence[str], timeout: float | None = None
    ) -> list[Array]:
        """Runs a request in a batch, and waits for its outputs; arguments as of `Runner.run`.

        Raises:
            ServingError: The request can't be batched, the queue is full, or the run failed.
        """
        size = row_count(inputs)
        for _ in inputs:
            self._metrics.input_batch_size.observe(size)
        if size > self._options.max_batch_size:
            reject(f"Task size {size} is larger than maximum input batch size {self._options.max_batch_size}")
        request = _Request(inputs, timeout)
        names = tuple(sorted(outputs))
        dtypes = tuple(sorted((name, value.dtype.num) for name, value in inputs.items()))
        self._scheduler.submit(
            (id(self), dtypes, names),
            self._options,
            lambda pieces: self._process(names, pieces),
            lambda room: request.pieces(self._sizes(size, room)),
        )
        values = dict(zip(names, request.wait(), strict=True))
        return [values[name] for name in outputs]

    def close(self) -> None:
        """Frees the session. No request may be in flight, and none may follow."""
        self._session.close()

    def _sizes(self, size: int, room: int) -> list[int]:
        """Sizes of a request's pieces: one, unless it must be split."""
        most = self._options.batch_size
        if not self._options.splits or size <= (room or most):
            return [size]
        first = [room] if room else []
        rest = size - sum(first)
        return [*first, *[most] * (rest // most), *([rest % most] if rest % most else [])]

    def _process(self, names: Sequence[str], pieces: list[Piece]) -> None:
        results: Sequence[list[Array] | None] = [None] * len(pieces)
        error: Exception | None = None
        try:
            results = self._run_together(names, pieces)
        except Exception as caught:  # raised in the waiting requests
            error = caught
        for piece, result in zip(pieces, results, strict=True):
            request, index, _ = piece.work
            request.finish(index, result, error)

    def _run_together(self, names: Sequence[str], pieces: list[Piece]) -> list[list[Array]]:
        timeout = self._timeout(pieces)
        sizes = [piece.size for piece in pieces]
        total = self._options.padded_size(sum(sizes)) if sum(sizes) else 0
        padding = total - sum(sizes)
        self._metrics.processed_batch_size.observe(total)
        self._metrics.padding_size.labels(str(total)).observe(padding)
        inputs = merged([_inputs(piece) for piece in pieces], padding, self._options.pads)
        outputs = self._session.run(inputs, names, timeout)
        self._metrics.wrapped_run_count.inc()
        return split(outputs, sizes, total)

    def _timeout(self, pieces: Sequence[Piece]) -> float | None:
        """The longest time left to any of the requests; None without a deadline."""
        now = time.monotonic()
        for piece in pieces:
            waited = (now - piece.enqueued) * 1e6
            self._metrics.queuing_latency.labels(self._options.pool_name).observe(waited)
        left = [_left(piece.work[0].deadline, now) for piece in pieces]
        if max(left) <= 0:
            text = "Run() timeout exceeded while waiting in batching queue"
            raise ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        return None if max(left) == float("inf") else max(left)


def _left(deadline: float | None, now: float) -> float:
    return float("inf") if deadline is None else deadline - now


def _inputs(piece: Piece) -> dict[str, Any]:
    request, _, start = piece.work
    return {name: value[start : start + piece.size] for name, value in request.inputs.items()}
