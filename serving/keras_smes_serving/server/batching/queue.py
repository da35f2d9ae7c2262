"""Queues of batches, and the threads that run them in turn."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.server.batching.options import BatchingOptions


@dataclass
class Piece:
    """A request or a part of one, which isn't split further.

    Args:
        size: int. Number of rows.
        work: Passed to the function that runs the batch.
        enqueued: float, seconds. Time of arrival, by `time.monotonic`. Defaults to now.
    """

    size: int
    work: Any
    enqueued: float = field(default_factory=time.monotonic)


@dataclass
class _Batch:
    pieces: list[Piece] = field(default_factory=list)
    size: int = 0
    opened: float = field(default_factory=time.monotonic)


class _Queue:
    """The waiting batches of one kind; the last one is open."""

    def __init__(self, options: BatchingOptions, process: Callable[[list[Piece]], None]) -> None:
        self.options = options
        self.process = process
        self.batches: deque[_Batch] = deque()

    def room(self) -> int:
        """Number of rows that fit into the open batch."""
        return self.options.batch_size - self.batches[-1].size if self.batches else 0

    def add(self, pieces: Sequence[Piece]) -> None:
        self._check_capacity(sum(piece.size for piece in pieces))
        for piece in pieces:
            if not self.batches or piece.size > self.room():
                self.batches.append(_Batch())
            self.batches[-1].pieces.append(piece)
            self.batches[-1].size += piece.size

    def ready_at(self) -> float:
        """Time at which the first batch may run: at once if it is full, or followed by others."""
        first = self.batches[0]
        if len(self.batches) > 1 or first.size >= self.options.batch_size:
            return 0.0
        return first.opened + self.options.timeout

    def _check_capacity(self, size: int) -> None:
        waiting, most = len(self.batches), self.options.max_enqueued_batches
        full = "The batch scheduling queue to which this task was submitted is full; "
        if self.options.splits:
            capacity = (most - waiting) * self.options.batch_size + self.room()
            if size > capacity:
                text = (
                    f"{full}task size is {size} but scheduling capacity is only {capacity} "
                    f"(num_enqueued_batches={waiting}, max_enqueued_batches={most}, "
                    f"open_batch_size={self.batches[-1].size if waiting else 0}, "
                    f"max_execution_batch_size={self.options.batch_size})"
                )
                raise ServingError(grpc.StatusCode.UNAVAILABLE, text)
        elif size > self.room() and waiting >= most:
            text = f"{full}currently {waiting} batches enqueued and max_enqueued_batches is {most}"
            raise ServingError(grpc.StatusCode.UNAVAILABLE, text)


class BatchScheduler:
    """Threads that run batches of many queues, one queue after the other.

    Args:
        threads: int. Number of threads.
    """

    def __init__(self, threads: int) -> None:
        self._queues: OrderedDict[Hashable, _Queue] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch_{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        key: Hashable,
        options: BatchingOptions,
        process: Callable[[list[Piece]], None],
        pieces: Callable[[int], Sequence[Piece]],
    ) -> None:
        """Enqueues a request.

        Args:
            key: hashable. Only requests of equal keys share a batch.
            options: `BatchingOptions` of the key.
            process: function of a list of `Piece`. Runs a batch without raising.
            pieces: function from the free rows of the open batch to the pieces of the request.

        Raises:
            ServingError: UNAVAILABLE: the queue is full.
        """
        with self._changed:
            # Empty queues are deleted, as clients choose the keys.
            queue = self._queues.get(key) or _Queue(options, process)
            queue.add(pieces(queue.room()))
            self._queues[key] = queue
            self._changed.notify()

    def close(self, timeout: float = threading.TIMEOUT_MAX) -> None:
        """Ends the threads once all batches are done, or after the timeout in seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (found := self._next()) is not None:
            queue, batch = found
            queue.process(batch.pieces)

    def _next(self) -> tuple[_Queue, _Batch] | None:
        """Waits for a batch to run; None once the scheduler is closed."""
        with self._changed:
            while True:
                now, soonest = time.monotonic(), None
                for key, queue in self._queues.items():
                    ready = queue.ready_at()
                    if ready <= now or self._closed:
                        return self._taken(key, queue)
                    soonest = ready if soonest is None else min(soonest, ready)
                if self._closed:
                    return None
                self._changed.wait(None if soonest is None else soonest - now)

    def _taken(self, key: Hashable, queue: _Queue) -> tuple[_Queue, _Batch]:
        batch = queue.batches.popleft()
        if queue.batches:
            self._queues.move_to_end(key)  # round robin
        else:
            del self._queues[key]
        return queue, batch
