"""Batches from TensorFlow's data service: the same batches in the same order."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_smes.distribution import LostProcessError
from keras_smes.training.input.order import epoch_order
from keras_smes.training.input.plan import StepPlan

Batch = tuple[dict[str, Any], ...]
MOST_WAITING = 256  # batches that may be there while an earlier one is not


@dataclasses.dataclass(frozen=True)
class ServedPlan(StepPlan):
    """A `StepPlan` whose batches are made by the workers of a `tf.data` service.

    What is handed out is numbers of batches, to whichever worker asks (`ShardingPolicy.DYNAMIC`). A number
    says all rows of its batch, so it doesn't matter who makes it, and batches that come early wait for their
    turn: each row comes once an epoch, in the order of `StepPlan`. A batch that a lost worker had taken never
    comes, and that is an error. Rows in memory travel once a training and piece, within the data set's graph;
    rows on disk are read by the workers, from the same path.

    Args:
        rows: As of `StepPlan`. What is in the graph is less than 2 GiB: the orders of all epochs, and rows in
            memory.
        batch_size: As of `StepPlan`.
        seed: As of `StepPlan`.
        epochs: Epochs of the training.
        address: Of the service's dispatcher, `grpc://HOST:PORT`.
    """

    epochs: int
    address: str
    _begun: dict[tuple[int, int], Iterator[Batch]] = dataclasses.field(default_factory=dict, repr=False)

    def epoch(self, epoch: int, first_step: int = 0, piece: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """Yields the batches of an epoch from a step on, or a piece of each; calls follow epochs."""
        if piece not in self._begun:
            self._begun[piece] = self._serve(epoch * self.steps + first_step, piece)
        return itertools.islice(self._begun[piece], self.steps - first_step)

    def _serve(self, first: int, piece: tuple[int, int]) -> Iterator[Batch]:
        import tensorflow as tf

        service = tf.data.experimental.service
        distribute = service.distribute(service.ShardingPolicy.DYNAMIC, self.address)
        return in_order(self.numbered(first, piece).apply(distribute), first, self.epochs * self.steps)

    def _order(self, epoch: int) -> np.ndarray:
        return epoch_order(self.rows.num_rows, self.seed, epoch)

    def numbered(self, first: int, piece: tuple[int, int]) -> Any:
        """Returns a `tf.data.Dataset` of `(number, batch)` from a number on, counted through all epochs."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            orders = tf.constant(np.stack([self._order(epoch) for epoch in range(self.epochs)]))

        def made(number: Any) -> tuple[Any, Batch]:
            start = number % self.steps * self.batch_size
            rows_b = orders[number // self.steps, start : start + self.batch_size]
            return number, self.rows.take(rows_b, piece)

        return tf.data.Dataset.range(first, self.epochs * self.steps).map(made, num_parallel_calls=2)


def in_order(numbered: Any, first: int, end: int) -> Iterator[Batch]:
    """Yields batches by their numbers, from `first` to before `end`.

    Args:
        numbered: Pairs `(number, batch)`, in any order.
        first: The first number.
        end: The number after the last.

    Raises:
        LostProcessError: One of them never comes.
    """
    waiting: dict[int, Batch] = {}
    for number, batch in numbered:
        waiting[int(number)] = batch
        while first in waiting:
            yield waiting.pop(first)
            first += 1
        if len(waiting) > MOST_WAITING:
            break
    if first < end:
        raise LostProcessError("a worker of the data service", f"batch {first} of {end} is missing")
