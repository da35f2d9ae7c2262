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
MOST_WAITING = 256  # early batches to keep before the missing one counts as lost


@dataclasses.dataclass(frozen=True)
class ServedPlan(StepPlan):
    """A `StepPlan` whose batches are made by the workers of a `tf.data` service.

    The service distributes batch numbers dynamically (`ShardingPolicy.DYNAMIC`). A number determines all rows
    of its batch, and early batches wait for their turn, so each row comes once per epoch in the order of
    `StepPlan`. A batch of a lost worker never comes, which raises an error. Rows in memory are part of the
    data set's graph, which must be below 2 GiB; rows on disk are read by the workers from the same path.
    """

    epochs: int
    address: str
    _begun: dict[tuple[int, int], Iterator[Batch]] = dataclasses.field(default_factory=dict, repr=False)

    def epoch(self, epoch: int, first_step: int = 0, piece: tuple[int, int] = (0, 1)) -> Iterator[Batch]:
        """Yields the batches of an epoch from a step on, or a piece of each; epochs are consecutive."""
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
        """Returns a `tf.data.Dataset` of `(number, batch)` from `first` on, numbered through all epochs."""
        import tensorflow as tf

        with tf.device("CPU:0"):
            orders = tf.constant(np.stack([self._order(epoch) for epoch in range(self.epochs)]))

        def made(number: Any) -> tuple[Any, Batch]:
            start = number % self.steps * self.batch_size
            rows_b = orders[number // self.steps, start : start + self.batch_size]
            return number, self.rows.take(rows_b, piece)

        return tf.data.Dataset.range(first, self.epochs * self.steps).map(made, num_parallel_calls=2)


def in_order(numbered: Any, first: int, end: int) -> Iterator[Batch]:
    """Yields batches in order of their numbers, `first` to `end - 1`, from pairs `(number, batch)`.

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
