"""The losses of a batch: one a task, and how they become one step."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import keras
from keras import ops

from keras_smes.losses import (
    DynamicWeightAverage,
    FixedWeights,
    GradNorm,
    PCGrad,
    UncertaintyWeights,
    task_gradients,
)
from keras_smes.replicas import num_replicas, sum_over_replicas, with_global_value
from keras_smes.tasks import Task
from keras_smes.tasks.loss import TaskLoss

Tensor = Any
Losses = Mapping[str, Tensor]


class TaskLosses:
    """The mean loss of each task over the rows of a batch that count for it.

    Under replicas the rows are those of all: each replica returns the same losses, and what differs is their
    gradient, of which the mean over replicas is that of the whole batch.

    Args:
        tasks: The tasks.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)
        # Keras would divide a mean by the number of replicas, a sum it leaves alone.
        self._sums = {task.name: TaskLoss(task, reduction="sum") for task in tasks}

    def __call__(self, targets: Losses, logits: Losses, counted: Losses) -> dict[str, Tensor]:
        """Returns a float32 scalar a task.

        Args:
            targets: `task.targets` of each task, `[B]`.
            logits: Of each task, `[B]` or `[B, width]`.
            counted: `task.counted` of each task, `[B]`.
        """
        sums_t = ops.stack([add(targets[n], logits[n], counted[n]) for n, add in self._sums.items()])
        rows_t = sum_over_replicas(ops.stack([ops.sum(counted[name]) for name in self._sums]))
        losses_t = with_global_value(ops.divide_no_nan(num_replicas() * sums_t, rows_t))
        return dict(zip(self._sums, ops.unstack(losses_t, len(self._sums)), strict=True))


class StepLosses(NamedTuple):
    """The losses of a step.

    Attributes:
        tasks: Each task's, times its weight.
        layers: The sum of the layers' own, such as the balance loss.
        total: What is minimised, the layers' own counted once.
    """

    tasks: Losses
    layers: Tensor
    total: Tensor


class JointLoss(Protocol):
    """How the losses of tasks become one, and its gradients."""

    state: Any  # a layer or seed generator whose variables belong to the state of training

    def total(self, losses: Losses, training: bool) -> Tensor:
        """Returns one scalar."""

    def gradients(self, tape: Any, losses: StepLosses, variables: Sequence[Any]) -> list[Any]:
        """Returns a gradient for each variable; the losses may be scaled, and so are the gradients."""

    def end_epoch(self) -> None:
        """Is called after each epoch."""


class WeighedLosses:
    """A sum by weights that are fixed, learned, or set from what an epoch was like.

    Args:
        weights: A layer of `keras_smes.losses`, from losses to one.
    """

    def __init__(self, weights: Any) -> None:
        self.state = weights

    def total(self, losses: Losses, training: bool) -> Tensor:
        return self.state(losses, training=training)

    def gradients(self, tape: Any, losses: StepLosses, variables: Sequence[Any]) -> list[Any]:
        gradients: list[Any] = tape.gradient(losses.total, variables)
        return gradients

    def end_epoch(self) -> None:
        if isinstance(self.state, DynamicWeightAverage):
            self.state.end_epoch()


class NormedLosses(WeighedLosses):
    """A sum by `GradNorm`, which moves its weights with each step.

    Args:
        weights: A `GradNorm`.
        shared: The last weights that all tasks share, by which norms are taken.
    """

    def __init__(self, weights: GradNorm, shared: Sequence[Any]) -> None:
        super().__init__(weights)
        self.shared = list(shared)

    def gradients(self, tape: Any, losses: StepLosses, variables: Sequence[Any]) -> list[Any]:
        gradients = super().gradients(tape, losses, variables)
        self.state.update(losses.tasks, task_gradients(tape, losses.tasks, self.shared))
        return gradients


class ProjectedLosses:
    """The plain sum, with `PCGrad` between the tasks' gradients of the dense weights that they share.

    Args:
        surgery: A `PCGrad`.
        shared: Those weights.
    """

    def __init__(self, surgery: PCGrad, shared: Sequence[Any]) -> None:
        self.surgery = surgery
        self.state = surgery.seed_generator
        self.shared = list(shared)

    def total(self, losses: Losses, training: bool) -> Tensor:
        return sum(losses.values())

    def gradients(self, tape: Any, losses: StepLosses, variables: Sequence[Any]) -> list[Any]:
        projected = self.surgery(task_gradients(tape, losses.tasks, self.shared))
        of_layers = task_gradients(tape, {"layers": losses.layers}, self.shared)["layers"]
        shared = {id(v): p + g for v, p, g in zip(self.shared, projected, of_layers, strict=True)}
        own = [variable for variable in variables if id(variable) not in shared]
        rest = {id(v): g for v, g in zip(own, tape.gradient(losses.total, own), strict=True)}
        return [{**shared, **rest}[id(variable)] for variable in variables]

    def end_epoch(self) -> None:
        pass


def joint_loss(
    name: str, tasks: Sequence[Task], core: keras.Model, seed: int, options: Mapping[str, Any]
) -> JointLoss:
    """Builds the way to join losses that a configuration names.

    Args:
        name: `"fixed"`, `"uncertainty"`, `"dwa"`, `"gradnorm"` or `"pcgrad"`.
        tasks: The tasks.
        core: The ranker's core, of which gradients of shared weights are taken.
        seed: Seed of PCGrad's orders.
        options: Options of the class in `keras_smes.losses`, but for the tasks and the seed.

    Raises:
        ValueError: An option that it doesn't have, or no dense weights that all tasks share.
    """
    names = [task.name for task in tasks]
    try:
        if name == "gradnorm":
            return NormedLosses(GradNorm(names, **options), _encoder(core))
        if name == "pcgrad":
            return ProjectedLosses(PCGrad(seed=seed, **options), _shared(core))
        if name == "fixed":
            return WeighedLosses(FixedWeights(dict.fromkeys(names, 1.0), **options))
        kind = {"uncertainty": UncertaintyWeights, "dwa": DynamicWeightAverage}[name]
        return WeighedLosses(kind(names, **options))
    except TypeError as error:
        raise ValueError(
            f"`loss_balance_options` don't fit {name!r} ({error}). Received: {dict(options)}"
        ) from None


def _shared(core: keras.Model) -> list[Any]:
    """The dense weights that more than one task uses: all but embeddings and towers."""
    own = {id(v) for layer in core.layers if _is_own(layer) for v in layer.trainable_variables}
    return [variable for variable in core.trainable_variables if id(variable) not in own]


def _is_own(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Embedding) or layer.name.startswith("tower_")


def _encoder(core: keras.Model) -> list[Any]:
    """The last layer before the experts."""
    layers = [layer for layer in core.layers if layer.name.startswith("encoder_")]
    if not layers:
        raise ValueError(
            "`loss_balance` 'gradnorm' needs an encoder with `units`: it looks at the last weights that all "
            "tasks share. Received: units=()"
        )
    variables: list[Any] = layers[-1].trainable_variables
    return variables


def sum_of(losses: Sequence[Tensor]) -> Tensor:
    """Returns the sum of scalars, float32; 0 of none."""
    return sum((ops.cast(loss, "float32") for loss in losses), ops.zeros((), "float32"))
