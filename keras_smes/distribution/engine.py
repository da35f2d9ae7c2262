"""The interface of engines, and the engine of one device, which uses Keras' `fit`."""

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

import keras
import numpy as np


class BatchPlan(Protocol):
    """Assigns rows to batches."""

    @property
    def steps(self) -> int:
        """Number of batches per epoch."""

    def epoch(self, epoch: int, first_step: int = 0, piece: tuple[int, int] = (0, 1)) -> Any:
        """Returns a `tf.data.Dataset` of the batches of an epoch, or of the i-th of n pieces of each."""


def check_uncompiled(name: str, training: Any) -> None:
    """Rejects compiled steps and scaled losses, which TensorFlow's strategies don't support."""
    if training.jit_compile:
        raise ValueError(f"`jit_compile` must be False with engine {name!r}. Received: jit_compile=True")
    if training.dtype_policy == "mixed_float16":
        raise ValueError(
            f"`dtype_policy` must not scale losses with engine {name!r}: use 'mixed_bfloat16'. "
            "Received: dtype_policy='mixed_float16'"
        )


class Engine:
    """Runs the steps of a model on one device.

    Attributes:
        name: Its name in a `DistributionConfig`.
        replicas: Number of replicas that share a batch.
        is_chief: Whether this process writes checkpoints and results.
        keeps_shapes: Whether weights and the optimizer's slots have the shapes of one device.
    """

    name = "single"
    replicas = 1
    is_chief = True
    keeps_shapes = True

    def scope(self) -> contextlib.AbstractContextManager:
        """Returns the context in which to create the trained model, its metrics and its optimizer."""
        return contextlib.nullcontext()

    def check(self, config: Any) -> None:
        """Validates a `RunConfig` for this engine; rejects unsupported options by name."""

    def to_train(self, core: keras.Model) -> keras.Model:
        """Returns the model to train for a ranker's core, in this engine's scope: a copy, or the core."""
        return core

    def hand_over(self, trained: keras.Model, core: keras.Model) -> None:
        """Copies the weights of the model of `to_train` to a ranker's core, which isn't distributed."""

    def epoch(
        self,
        model: keras.Model,
        plan: BatchPlan,
        epoch: int,
        first: int,
        callbacks: keras.callbacks.CallbackList,
    ) -> dict[str, float]:
        """Trains an epoch, starting at a step.

        Args:
            model: The compiled model.
            plan: The `BatchPlan`.
            epoch: Number of the epoch.
            first: The first step.
            callbacks: The callbacks, which are called after each execution of steps.

        Returns:
            The model's metrics over the epoch.
        """
        if keras.backend.backend() == "jax":  # before callbacks read variables
            sync = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: model.jax_state_sync()
            )
            callbacks.callbacks.insert(0, sync)
        history = model.fit(
            plan.epoch(epoch, first),
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,  # the plan shuffles
            callbacks=callbacks,
        )
        return {name: float(values[-1]) for name, values in history.history.items()}

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is set in any process; a collective call of all processes."""
        return flag

    @property
    def share(self) -> tuple[int, int]:
        """Index of this process' share of the rows in a joint evaluation, and the number of shares."""
        return 0, 1

    def add_up(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the sums of arrays over processes; a collective call of all processes."""
        return dict(arrays)

    def describe(self) -> dict[str, Any]:
        """Returns the settings outside the configuration that a resumed state must match."""
        return {} if self.replicas == 1 else {"engine": self.name, "replicas": self.replicas}


class SpreadEngine(Engine):
    """Base class of distributed engines: trains a copy of a core with its variables on several devices.

    Attributes:
        spread: The backend's own `tf.distribute.Strategy` or `keras.distribution.Distribution`.
    """

    spread: Any

    def scope(self) -> contextlib.AbstractContextManager:
        scope: contextlib.AbstractContextManager = self.spread.scope()
        return scope

    def to_train(self, core: keras.Model) -> keras.Model:
        copy: keras.Model = keras.models.clone_model(core)
        copy.set_weights(core.get_weights())
        return copy

    def hand_over(self, trained: keras.Model, core: keras.Model) -> None:
        core.set_weights(trained.get_weights())
