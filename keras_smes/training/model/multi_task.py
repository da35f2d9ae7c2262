"""The trained model: a ranker's core with the tasks' losses, in steps that must be finite."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.backend.replicas import add_to, num_replicas, run_if, sum_over_replicas, with_global_value
from keras_smes.layers.masks import counting
from keras_smes.training.model.optimizer import all_finite
from keras_smes.training.task_losses import JointLoss, StepLosses, TaskLosses, any_task, sum_of
from keras_smes.types import Tensor


class MultiTaskModel(keras.Model):
    """A ranker's core as Keras' `fit` trains it, on batches `(features, targets, counted)`.

    Rows that count for no task affect neither the tasks' losses nor batch statistics of layers, such as the
    balance loss.

    After a step whose loss or gradient isn't finite, neither it nor any later step changes a weight:
    `is_broken` stays set, and `steps_done` counts the good steps.

    Under replicas of a `tf.distribute` strategy, losses are those of the global batch, and gradients are
    averaged as the optimizer sums them.

    Args:
        core: From preprocessed features to each task's logits.
        task_losses: The `TaskLosses`.
        joint: The `JointLoss`.

    Attributes:
        steps_done: int64 variable, batches trained on.
        is_broken: bool variable, whether a loss or gradient was not finite.
    """

    def __init__(self, core: keras.Model, task_losses: TaskLosses, joint: JointLoss) -> None:
        # Inputs are cast by the core's own policy.
        super().__init__(name="training", dtype="float32", autocast=False)
        self.core = core
        self.task_losses = task_losses
        self.joint = joint
        self.joint_state = joint.state  # an attribute, so that Keras trains and saves it
        # Replicas write equal values.
        kept = {"shape": (), "initializer": "zeros", "trainable": False, "aggregation": "only_first_replica"}
        self.steps_done = self.add_weight(dtype="int64", name="steps_done", **kept)
        self.is_broken = self.add_weight(dtype="bool", name="is_broken", **kept)
        self.task_means = [keras.metrics.Mean(f"{task.name}_loss", "float32") for task in task_losses.tasks]
        self.built = True

    def call(self, features: Mapping[str, Tensor], training: bool | None = None) -> dict[str, Tensor]:
        logits: dict[str, Tensor] = self.core(features, training=training)
        return logits

    def step_losses(self, data: tuple[Any, ...], training: bool) -> tuple[dict[str, Tensor], StepLosses]:
        """Returns the tasks' losses and the step's, of a batch `(features, targets, counted)`."""
        features, targets, counted = data
        with counting(any_task(counted)):
            logits = self(features, training=training)
        layers = with_global_value(sum_of(self.losses))  # before another replica adds losses
        losses = self.task_losses(targets, logits, counted)
        weighted = {task.name: task.weight * losses[task.name] for task in self.task_losses.tasks}
        return losses, StepLosses(weighted, layers, self.joint.total(weighted, training) + layers)

    def train_step(self, data: tuple[Any, ...]) -> dict[str, Tensor]:
        import tensorflow as tf

        variables, scale = self.trainable_variables, self._scale()
        with tf.GradientTape(persistent=True) as tape:
            losses, step = self.step_losses(data, training=True)
            scaled = step.scaled(scale)

        def differentiate(pick: Callable[[StepLosses], Tensor], variables: Sequence[Any]) -> list[Any]:
            gradients: list[Any] = tape.gradient(pick(scaled), variables)
            return gradients

        gradients = self.joint.gradients(differentiate, step, variables, scale)
        self._apply(gradients, variables, step.total)
        return self._means(losses, step.total, data[2])

    def _scale(self) -> Tensor:
        """Factor of the losses before differentiation."""
        return self.optimizer.scale_loss(ops.ones((), "float32")) / num_replicas()

    def _apply(self, gradients: list[Any], variables: list[Any], loss: Tensor) -> None:
        import tensorflow as tf

        def apply(gradients: list[Any]) -> Tensor:
            self.optimizer.apply(gradients, variables)
            add_to(self.steps_done, 1)
            return tf.constant(True)

        self.is_broken.assign(~run_if(self._is_good(gradients, loss), apply, gradients))

    def _is_good(self, gradients: list[Any], loss: Tensor) -> Tensor:
        """Whether weights may be updated: bool, the same in all replicas."""
        is_good = ops.logical_and(ops.isfinite(loss), ops.logical_not(self.is_broken))
        # Loss scaling expects gradients to overflow, and its optimizer skips such steps.
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            return is_good
        is_bad = ops.cast(ops.logical_not(all_finite(gradients)), "int32")
        return ops.logical_and(is_good, ops.equal(sum_over_replicas(is_bad), 0))

    def _means(self, losses: Mapping[str, Tensor], total: Tensor, counted: Any) -> dict[str, Tensor]:
        """Updates the epoch's means: of a task over the rows that count, of the total over all."""
        for task, mean in zip(self.task_losses.tasks, self.task_means, strict=True):
            _add_to_mean(mean, losses[task.name], ops.sum(counted[task.name]))
        rows = ops.shape(counted[self.task_losses.tasks[0].name])[0]
        for metric in self.metrics:
            if metric.name == "loss":
                _add_to_mean(metric, total, rows)
        results: dict[str, Tensor] = self.get_metrics_result()
        return results


def _add_to_mean(mean: keras.metrics.Mean, value: Tensor, weight: Tensor) -> None:
    """`mean.update_state` without lost updates under asynchronous workers."""
    weight = ops.cast(weight, mean.dtype)
    add_to(mean.total, ops.cast(value, mean.dtype) * weight)
    add_to(mean.count, weight)
