"""The training loop of engines under a `tf.distribute` strategy."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import keras

from keras_smes.distribution.engine import BatchPlan, SpreadEngine
from keras_smes.distribution.faults import lost_processes


class LoopEngine(SpreadEngine):
    """Runs steps under a strategy, with the callbacks that `fit` would call."""

    OTHERS: ClassVar[str] = "a worker"  # the processes that training depends on
    _step: Callable[[Any], None] | None = None

    def epoch(
        self,
        model: keras.Model,
        plan: BatchPlan,
        epoch: int,
        first: int,
        callbacks: keras.callbacks.CallbackList,
    ) -> dict[str, float]:
        with lost_processes(self.OTHERS):
            step = self._step_of(model)
            callbacks.on_train_begin()
            model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            # One call per step: in a graph loop, collectives need one shape in all iterations.
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

    def batches(self, plan: BatchPlan, epoch: int, first: int) -> Iterator[Any]:
        """Yields the batches of an epoch, starting at a step, as `run` takes them."""
        yield from plan.epoch(epoch, first)

    def run(self, step: Callable[[Any], None], batch: Any) -> None:
        """Runs or schedules a step."""
        step(batch)

    def wait(self) -> None:
        """Waits until all scheduled steps are done."""
