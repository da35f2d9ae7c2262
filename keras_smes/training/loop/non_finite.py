"""Diagnosis of the batch at which training stopped: which losses, inputs and weights are not finite."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_smes.training.model.multi_task import MultiTaskModel
from keras_smes.training.task_losses import StepLosses

EMBED = "embed_"


class NonFiniteError(FloatingPointError):
    """A loss or a gradient of a training step was infinite or NaN.

    Attributes:
        epoch: The epoch, from 1.
        batch: The batch in it, from 1.
        tasks: Names of the tasks whose loss is not finite.
        features: Names of the features whose input or embedding is not finite.
        weights: Paths of the other weights that are not finite.
        gradients: Paths of the weights whose gradient is not finite though the losses are; TensorFlow only.
    """

    def __init__(self, epoch: int, batch: int, found: Mapping[str, Sequence[str]]) -> None:
        self.epoch, self.batch, self._found = epoch, batch, dict(found)
        self.tasks, self.features = tuple(found["tasks"]), tuple(found["features"])
        self.weights, self.gradients = tuple(found["weights"]), tuple(found["gradients"])
        told = "; ".join(f"{name}: {', '.join(values)}" for name, values in found.items() if values)
        super().__init__(
            f"Training stopped in epoch {epoch}, batch {batch}: a loss or gradient is not finite. {told}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # The default unpickles with `args`, which differ from the parameters of `__init__`.
        return type(self), (self.epoch, self.batch, self._found), self.__dict__


def diagnose(model: MultiTaskModel, data: tuple[Any, ...], epoch: int, batch: int) -> NonFiniteError:
    """Returns the error for a batch, counted from 0, of a model with the weights before the batch."""
    losses, step, gradients = _step(model, data)
    tasks = [name for name, loss in losses.items() if not _is_finite(loss)]
    finite_loss = _is_finite(step.total)
    found = {
        "tasks": [*tasks, *([] if _is_finite(step.layers) else ["(the layers' own loss)"])],
        "features": _features(model.core, data[0]),
        "weights": [
            v.path
            for v in model.trainable_variables
            if not v.path.endswith("/embeddings") and not _is_finite(v)
        ],
        "gradients": [
            variable.path
            for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
            if finite_loss and gradient is not None and not _is_finite(gradient)
        ],
    }
    return NonFiniteError(epoch + 1, batch + 1, found)


def _step(
    model: MultiTaskModel, data: tuple[Any, ...]
) -> tuple[Mapping[str, Any], StepLosses, Sequence[Any]]:
    """The losses of a batch, and on TensorFlow their gradients."""
    if keras.backend.backend() != "tensorflow":
        return *model.step_losses(data, training=True), [None] * len(model.trainable_variables)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        losses, step = model.step_losses(data, training=True)
    return losses, step, tape.gradient(step.total, model.trainable_variables)


def _features(core: keras.Model, features: Mapping[str, Any]) -> list[str]:
    inputs = [name for name, values in features.items() if not _is_finite(values)]
    tables = [
        layer.name.removeprefix(EMBED)
        for layer in core.layers
        if isinstance(layer, keras.layers.Embedding) and not _is_finite(layer.embeddings)
    ]
    return list(dict.fromkeys([*inputs, *tables]))


def _is_finite(values: Any) -> bool:
    return bool(np.isfinite(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(values))).all())
