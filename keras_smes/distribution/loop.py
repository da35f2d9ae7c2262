"""The loop of engines under a `tf.distribute` strategy that Keras' `fit` doesn't run."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import keras

from keras_smes.distribution.engine import Plan, SpreadEngine
from keras_smes.distribution.faults import lost_processes


class LoopEngine(SpreadEngine):
    """Runs steps under a strategy, with the callbacks that `fit` would call."""

    OTHERS: ClassVar[str] = "a worker"  # without which it can't go on
    _step: Callable[[Any], None] | None = None

    def epoch(
        self, model: keras.Model, plan: Plan, epoch: int, first: int, callbacks: keras.callbacks.CallbackList
    ) -> dict[str, float]:
        with lost_processes(self.OTHERS):
            step = self._step_of(model)
            callbacks.on_train_begin()
            model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            # A call a step, and no loop in a graph: there, collectives want one shape in all iterations.
            for number, batch in enumerate(self.batches(plan, epoch, first), start=1):
                self.run(step, batch)
                if number % model.steps_per_execution == 0 or number == plan.steps - first:
                    self.wait()
                    callbacks.on_train_batch_end(number - 1)
            logs = {name: float(value) for name, value in model.get_metrics_result().items()}
            callbacks.on_epoch_end(epoch, logs)
            callbacks.on_train_end()
        return logs

    def _step_of(self, model: keras.Model) -> Callable[[Any], None]:
        import tensorflow as tf

        if self._step is None:

            def step(batch: Any) -> None:
                self.spread.run(model.train_step, args=(batch,))

            self._step = tf.function(step, reduce_retracing=True)
        return self._step

    def batches(self, plan: Plan, epoch: int, first: int) -> Iterator[Any]:
        """Yields the batches of an epoch from a step on, as `run` takes them."""
        yield from plan.epoch(epoch, first)

    def run(self, step: Callable[[Any], None], batch: Any) -> None:
        """Runs a step, or has it run."""
        step(batch)

    def wait(self) -> None:
        """Returns when all steps so far are done."""
