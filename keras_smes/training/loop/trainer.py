"""The training loop: epochs of steps, validation, selection of weights, checkpoints."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_smes.diagnostics import Events
from keras_smes.distribution import Engine
from keras_smes.training.config import TrainingConfig
from keras_smes.training.input.plan import StepPlan
from keras_smes.training.loop.callbacks import ProgressBar
from keras_smes.training.loop.non_finite import diagnose
from keras_smes.training.loop.resume import Checkpointer
from keras_smes.training.loop.selection import Best, MetricOfTask, TaskMetrics
from keras_smes.training.loop.state import (
    Progress,
    read_variables,
    state_variables,
    with_prefix,
    write_variables,
)
from keras_smes.training.model.multi_task import MultiTaskModel

_SELECTED = "selected"
Monitor = Callable[[int], Mapping[str, float]]
Validate = Callable[[], tuple[Mapping[str, float], TaskMetrics]]


class Trainer:
    """Trains a compiled model for its epochs.

    Args:
        model: The compiled `MultiTaskModel` with a built optimizer.
        plan: The `StepPlan`.
        config: The `TrainingConfig`.
        validate: Returns metrics for the history, such as `{"val_loss": 0.5}`, and metrics of each task by
            which epochs are compared. Defaults to `None`, no validation rows.
        session: A `Checkpointer`, which writes checkpoints. Defaults to `None`.
        curves: `Events` for TensorBoard. Defaults to `None`.
        monitor: Returns further metrics for the history by epoch, such as those of a `RoutingMonitor`.
            Defaults to `None`.
        verbose: Keras' verbosity. Defaults to `0`.
        engine: The `Engine` that runs the steps. Defaults to `None`, one device.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        plan: StepPlan,
        config: TrainingConfig,
        validate: Validate | None = None,
        *,
        session: Checkpointer | None = None,
        curves: Events | None = None,
        monitor: Monitor | None = None,
        verbose: int | str = 0,
        engine: Engine | None = None,
    ) -> None:
        self.engine = engine or Engine()
        self.model, self.plan, self.config, self.validate = model, plan, config, validate
        self.session, self.curves, self.monitor, self.verbose = session, curves, monitor, verbose
        self.progress = Progress()
        self._variables = state_variables(model)
        self._best: dict[str, np.ndarray] = {}  # weights and optimizer of the selected epoch
        self._since = time.monotonic()

    def resume(self, progress: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Restores a state from a `Checkpointer`."""
        best = with_prefix(_SELECTED, arrays)
        state = {name: values for name, values in arrays.items() if name not in best}
        write_variables(self._variables, state)
        self.progress = Progress.from_dict(progress)
        self._best = {name.removeprefix(f"{_SELECTED}/"): values for name, values in best.items()}

    def train(self) -> Progress:
        """Trains to the last epoch, or until early stopping.

        Returns:
            The `Progress`. The model and its optimizer have the state of the selected epoch.

        Raises:
            NonFiniteError: A loss or gradient is not finite. Checkpoints are from before.
        """
        self._since = time.monotonic()
        while self.progress.epoch < self.config.epochs and not self._is_out_of_patience():
            epoch = self.progress.epoch
            logs = self._run_epoch(epoch)
            self.model.joint.end_epoch()
            self._close_epoch(epoch, logs)
            self._write()
        if self._best:
            write_variables(self._learned(), self._best)
        return self._timed()

    def _run_epoch(self, epoch: int) -> dict[str, float]:
        first = self._steps_done() - epoch * self.plan.steps
        means = with_prefix("metrics", read_variables(self._variables)) if first else {}
        called = keras.callbacks.LambdaCallback
        callbacks = [called(on_train_batch_end=lambda batch, logs: self._after_execution())]
        if self.verbose != 0:
            callbacks.append(ProgressBar())
        if means:
            metrics = with_prefix("metrics", self._variables)  # which Keras resets at the start of an epoch
            callbacks.append(called(on_epoch_begin=lambda epoch, logs: write_variables(metrics, means)))
        if first == self.plan.steps:  # killed after the last step, before the epoch was closed
            return {name: float(value) for name, value in self.model.get_metrics_result().items()}
        listed = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            verbose=self.verbose,
            epochs=self.config.epochs,
            steps=self.plan.steps - first,
            model=self.model,
        )
        return self.engine.epoch(self.model, self.plan, epoch, first, listed)

    def _close_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        progress = self.progress
        selected, stopping = progress.selected, progress.stopping
        if self.validate is not None:
            losses, metrics = self.validate()
            logs = {**logs, **losses}
            selected = _after(selected, epoch, metrics, self.config.select)
            stopping = _after(stopping, epoch, metrics, self.config.early_stopping)
        if selected.epoch == epoch:
            self._best = read_variables(self._learned())
        if self.curves is not None:
            self.curves.scalars(self._steps_done(), logs)
        if self.monitor is not None:
            logs = {**logs, **self.monitor(epoch)}
        history = (*progress.history, logs)
        self.progress = dataclasses.replace(
            progress, epoch=epoch + 1, history=history, selected=selected, stopping=stopping
        )

    def _is_out_of_patience(self) -> bool:
        stopping = self.config.early_stopping
        return stopping is not None and self.progress.stopping.waited >= stopping.patience

    def _after_execution(self) -> None:
        """Stops at a loss or gradient that is not finite, and writes a checkpoint if it is due."""
        if bool(self.model.is_broken.numpy()):
            epoch, step = divmod(self._steps_done(), self.plan.steps)
            raise diagnose(self.model, self.plan.batch(epoch, step), epoch, step)
        if self.session is not None and self.engine.any(self.session.is_due):
            self._write()

    def _write(self) -> None:
        if self.session is None:
            return
        # All processes read, since reading sums over replicas; only the chief writes.
        best = {f"{_SELECTED}/{name}": values for name, values in self._best.items()}
        arrays = {**read_variables(self._variables), **best}
        # Means are sums over replicas: continue from the sum that was read, as after a resume.
        write_variables(with_prefix("metrics", self._variables), with_prefix("metrics", arrays))
        if self.engine.is_chief:
            self.session.write(self._steps_done(), self._timed().to_dict(), arrays)

    def _learned(self) -> dict[str, Any]:
        """Weights and optimizer state of the selected epoch."""
        return with_prefix("model", self._variables) | with_prefix("optimizer", self._variables)

    def _timed(self) -> Progress:
        now = time.monotonic()
        self.progress = dataclasses.replace(self.progress, seconds=self.progress.seconds + now - self._since)
        self._since = now
        return self.progress

    def _steps_done(self) -> int:
        return int(self.model.steps_done.numpy())


def _after(best: Best, epoch: int, metrics: TaskMetrics, metric: MetricOfTask | None) -> Best:
    return best if metric is None else best.after(epoch, metric.of(metrics), metric)
