"""What an engine is; this one runs steps on one device, by Keras' `fit`."""

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

import keras
import numpy as np


class Plan(Protocol):
    """Which rows are in which batch."""

    @property
    def steps(self) -> int:
        """Batches an epoch."""

    def epoch(self, epoch: int, first_step: int = 0, piece: tuple[int, int] = (0, 1)) -> Any:
        """Returns a `tf.data.Dataset` of the batches of an epoch, or of the i-th of n pieces of each."""


def check_uncompiled(name: str, training: Any) -> None:
    """Refuses what synchronises within a compiled step, or scales losses: no strategy of TensorFlow's can."""
    if training.jit_compile:
        raise ValueError(f"`jit_compile` must be False with engine {name!r}. Received: jit_compile=True")
    if training.dtype_policy == "mixed_float16":
        raise ValueError(
            f"`dtype_policy` must not scale losses with engine {name!r}: take 'mixed_bfloat16'. "
            "Received: dtype_policy='mixed_float16'"
        )


class Engine:
    """Runs the steps of a model on one device.

    Attributes:
        name: Its name in a `DistributionConfig`.
        replicas: How many replicas share a batch.
        is_chief: Whether this process writes checkpoints and results.
        keeps_shapes: Whether weights and the optimizer's slots have the shapes of one device.
    """

    name = "single"
    replicas = 1
    is_chief = True
    keeps_shapes = True

    def scope(self) -> contextlib.AbstractContextManager:
        """Returns the context in which the trained model, its metrics and its optimizer are made."""
        return contextlib.nullcontext()

    def check(self, config: Any) -> None:
        """Refuses a `RunConfig` that this engine can't do.

        Raises:
            ValueError: Names the option.
        """

    def to_train(self, core: keras.Model) -> keras.Model:
        """Returns what is trained in place of a ranker's core, in this engine's scope: a copy, or itself."""
        return core

    def hand_over(self, trained: keras.Model, core: keras.Model) -> None:
        """Gives a ranker's core, which isn't distributed, the weights of what `to_train` returned for it."""

    def epoch(
        self, model: keras.Model, plan: Plan, epoch: int, first: int, callbacks: keras.callbacks.CallbackList
    ) -> dict[str, float]:
        """Trains an epoch from a step on.

        Args:
            model: The compiled model.
            plan: The `Plan`.
            epoch: Number of the epoch.
            first: The first step.
            callbacks: The callbacks, which are called after each execution of steps.

        Returns:
            The model's metrics over the epoch.
        """
        if keras.backend.backend() == "jax":  # before callbacks look at variables
            sync = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: model.jax_state_sync()
            )
            callbacks.callbacks.insert(0, sync)
        history = model.fit(
            plan.epoch(epoch, first),
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,  # the plan does
            callbacks=callbacks,
        )
        return {name: float(values[-1]) for name, values in history.history.items()}

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is set in any process; all of them ask at the same time."""
        return flag

    @property
    def share(self) -> tuple[int, int]:
        """Which of how many shares of rows this process measures, where all measure together."""
        return 0, 1

    def add_up(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the sums over processes of arrays of one shape; all of them ask at the same time."""
        return dict(arrays)

    def describe(self) -> dict[str, Any]:
        """Returns what a state may be taken up under only, beside the configuration; as JSON values."""
        return {} if self.replicas == 1 else {"engine": self.name, "replicas": self.replicas}


class SpreadEngine(Engine):
    """Trains a copy of a core whose variables are spread over devices: the base of all engines but the first.

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
