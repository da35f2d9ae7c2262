"""Synchronous replicas: each has all weights, a part of each batch, and the sum of all gradients."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_smes.distribution.engine import BatchPlan, check_uncompiled
from keras_smes.distribution.faults import lost_processes
from keras_smes.distribution.loop import LoopEngine


class ReplicatedEngine(LoopEngine):
    """Runs steps under a synchronous `tf.distribute` strategy, with the loop of `LoopEngine`.

    The i-th of n replicas takes rows i, i + n, i + 2n, ... of each batch: parts differ by at most one
    row, and may be empty. Batches and their order are those of one replica. `place` is the index of this
    process, and the number of processes.
    """

    def __init__(self, name: str, strategy: Any, place: tuple[int, int] = (0, 1)) -> None:
        self.name, self.spread, self.place = name, strategy, place
        self.is_chief = place[0] == 0
        self.replicas = strategy.num_replicas_in_sync

    def check(self, config: Any) -> None:
        training = config.training
        check_uncompiled(self.name, training)
        if training.loss_balance not in ("fixed", "uncertainty"):
            raise ValueError(
                f"`loss_balance` must be 'fixed' or 'uncertainty' with engine {self.name!r}: the others "
                f"have state. Received: loss_balance={training.loss_balance!r}"
            )

    def batches(self, plan: BatchPlan, epoch: int, first: int) -> Iterator[Any]:
        """Yields the batches, as the parts of this process' replicas."""
        replicas = _local_replicas(self.spread)
        pieces = {r: iter(plan.epoch(epoch, first, (r, self.replicas))) for r in replicas}
        for _ in range(plan.steps - first):
            yield self.spread.experimental_distribute_values_from_function(
                lambda context: next(pieces[context.replica_id_in_sync_group])
            )

    def any(self, flag: bool) -> bool:
        return bool(self.add_up({"flag": np.array(flag, np.int32)})["flag"] > 0)

    @property
    def share(self) -> tuple[int, int]:
        return self.place

    def add_up(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.place[1] == 1:
            return dict(arrays)
        import tensorflow as tf

        first = _local_replicas(self.spread)[0]

        def of_replica(context: Any) -> dict[str, Any]:
            # A process counts once, with any number of replicas.
            counts = context.replica_id_in_sync_group == first
            return {n: tf.constant(a if counts else np.zeros_like(a)) for n, a in arrays.items()}

        with lost_processes("a worker"):
            parts = self.spread.experimental_distribute_values_from_function(of_replica)
            return {n: self.spread.reduce("SUM", part, axis=None).numpy() for n, part in parts.items()}


def _local_replicas(strategy: Any) -> list[int]:
    values = strategy.experimental_distribute_values_from_function(
        lambda context: context.replica_id_in_sync_group
    )
    return [int(value) for value in strategy.experimental_local_results(values)]
