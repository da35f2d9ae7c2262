"""Replicas in step: each has all weights, a piece of each batch, and the sum of all gradients."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_smes.distribution.engine import Engine, Plan, check_uncompiled, copied
from keras_smes.distribution.faults import lost_processes


class ReplicatedEngine(Engine):
    """Runs steps under a synchronous `tf.distribute` strategy, by a loop of ours.

    The i-th of n replicas takes rows i, i + n, i + 2n, ... of each batch: pieces differ by one row at most,
    and one may be empty. Batches, and their order, are those of one replica.

    Args:
        name: Its name in a `DistributionConfig`.
        strategy: The strategy.
        place: Number of this process, and how many there are. Defaults to `(0, 1)`.
    """

    def __init__(self, name: str, strategy: Any, place: tuple[int, int] = (0, 1)) -> None:
        self.name, self.strategy, self.place = name, strategy, place
        self.is_chief = place[0] == 0
        self.replicas = strategy.num_replicas_in_sync
        self._step: Callable[[Any], None] | None = None

    def scope(self) -> contextlib.AbstractContextManager:
        scope: contextlib.AbstractContextManager = self.strategy.scope()
        return scope

    def to_train(self, core: keras.Model) -> keras.Model:
        return copied(core)

    def hand_over(self, trained: keras.Model, core: keras.Model) -> None:
        core.set_weights(trained.get_weights())

    def check(self, config: Any) -> None:
        training = config.training
        check_uncompiled(self.name, training)
        if training.loss_balance not in ("fixed", "uncertainty"):
            raise ValueError(
                f"`loss_balance` must be 'fixed' or 'uncertainty' with engine {self.name!r}: others keep "
                f"state of their own. Received: loss_balance={training.loss_balance!r}"
            )

    def epoch(
        self, model: keras.Model, plan: Plan, epoch: int, first: int, callbacks: keras.callbacks.CallbackList
    ) -> dict[str, float]:
        with lost_processes("a worker"):
            step, batches = self._step_of(model), self._batches(plan, epoch, first)
            callbacks.on_train_begin()
            model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            # A call a step, and no loop in a graph: there, collectives want one shape in all iterations.
            for number, batch in enumerate(batches, start=1):
                step(batch)
                if number % model.steps_per_execution == 0 or number == plan.steps - first:
                    callbacks.on_train_batch_end(number - 1)
            logs = {name: float(value) for name, value in model.get_metrics_result().items()}
            callbacks.on_epoch_end(epoch, logs)
            callbacks.on_train_end()
        return logs

    def _step_of(self, model: keras.Model) -> Callable[[Any], None]:
        import tensorflow as tf

        if self._step is None:

            def step(batch: Any) -> None:
                self.strategy.run(model.train_step, args=(batch,))

            self._step = tf.function(step, reduce_retracing=True)
        return self._step

    def _batches(self, plan: Plan, epoch: int, first: int) -> Iterator[Any]:
        """Yields the batches, each the pieces of this process' replicas."""
        replicas = _local_replicas(self.strategy)
        pieces = {r: iter(plan.epoch(epoch, first, (r, self.replicas))) for r in replicas}
        for _ in range(plan.steps - first):
            yield self.strategy.experimental_distribute_values_from_function(
                lambda context: next(pieces[context.replica_id_in_sync_group])
            )

    def any(self, flag: bool) -> bool:
        return bool(self.add_up({"flag": np.array(flag, np.int32)})["flag"] > 0)

    @property
    def own_rows(self) -> slice:
        return slice(self.place[0], None, self.place[1])

    def add_up(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.place[1] == 1:
            return dict(arrays)
        import tensorflow as tf

        first = _local_replicas(self.strategy)[0]

        def of_replica(context: Any) -> dict[str, Any]:
            # A process counts once, however many replicas it has.
            counts = context.replica_id_in_sync_group == first
            return {n: tf.constant(a if counts else np.zeros_like(a)) for n, a in arrays.items()}

        with lost_processes("a worker"):
            parts = self.strategy.experimental_distribute_values_from_function(of_replica)
            return {n: self.strategy.reduce("SUM", part, axis=None).numpy() for n, part in parts.items()}


def _local_replicas(strategy: Any) -> list[int]:
    values = strategy.experimental_distribute_values_from_function(
        lambda context: context.replica_id_in_sync_group
    )
    return [int(value) for value in strategy.experimental_local_results(values)]
