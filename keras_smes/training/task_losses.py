"""Losses of a batch: one per task, and how they are combined for a step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import keras
from keras import ops

from keras_smes.backend.replicas import num_replicas, sum_over_replicas, with_global_value
from keras_smes.losses import DynamicWeightAverage, FixedWeights, GradNorm, PCGrad, UncertaintyWeights
from keras_smes.optimizers.sparse_gradients import dense
from keras_smes.tasks import Task
from keras_smes.training.model.shared_weights import last_encoder_weights as _encoder
from keras_smes.training.model.shared_weights import shared_weights as _shared
from keras_smes.types import Tensor

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

    def __call__(self, targets: Losses, logits: Losses, counted: Losses) -> dict[str, Tensor]:
        """Returns a float32 scalar per task, exactly 0 where no row counts for it.

        Args:
            targets: `task.targets` of each task, `[B]`.
            logits: Of each task, `[B]` or `[B, width]`.
            counted: `task.counted` of each task, `[B]`.
        """
        names = [task.name for task in self.tasks]
        sums_t = ops.stack([_sum(task, targets, logits, counted) for task in self.tasks])
        rows_t = sum_over_replicas(ops.stack([ops.sum(counted[name]) for name in names]))
        losses_t = with_global_value(ops.divide_no_nan(num_replicas() * sums_t, rows_t))
        return dict(zip(names, ops.unstack(losses_t, len(names)), strict=True))


def _sum(task: Task, targets: Losses, logits: Losses, counted: Losses) -> Tensor:
    """The sum of a task's losses over the rows that count, float32."""
    target_b, rows, counted_b = (ops.cast(x[task.name], "float32") for x in (targets, logits, counted))
    return ops.sum(task.row_losses(target_b, rows) * counted_b)


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

    def scaled(self, scale: Tensor) -> "StepLosses":
        """Returns the losses times a number."""
        tasks = {name: loss * scale for name, loss in self.tasks.items()}
        return StepLosses(tasks, self.layers * scale, self.total * scale)


# Returns the gradients of a loss by variables: the function picks the loss out of those of the step.
Differentiate = Callable[[Callable[[StepLosses], Tensor], Sequence[Any]], list[Any]]


class JointLoss(Protocol):
    """Combines the losses of tasks, and returns the gradients."""

    state: Any  # a layer or seed generator whose variables belong to the state of training

    def total(self, losses: Losses, training: bool) -> Tensor:
        """Returns one scalar."""

    def gradients(
        self, differentiate: Differentiate, losses: StepLosses, variables: Sequence[Any], scale: Tensor
    ) -> list[Any]:
        """Returns a gradient for each variable.

        Args:
            differentiate: Returns gradients of a loss, times `scale`.
            losses: The losses, as they are.
            variables: The variables.
            scale: By what gradients are scaled.
        """

    def end_epoch(self) -> None:
        """Is called after each epoch."""


class WeighedLosses:
    """A weighted sum, by weights that are fixed, learned, or updated after each epoch.

    Args:
        weights: A layer of `keras_smes.losses`, from losses to one.
    """

    def __init__(self, weights: Any) -> None:
        self.state = weights

    def total(self, losses: Losses, training: bool) -> Tensor:
        return ops.cast(self.state(losses, training=training), "float32")

    def gradients(
        self, differentiate: Differentiate, losses: StepLosses, variables: Sequence[Any], scale: Tensor
    ) -> list[Any]:
        return differentiate(_total, variables)

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

    def gradients(
        self, differentiate: Differentiate, losses: StepLosses, variables: Sequence[Any], scale: Tensor
    ) -> list[Any]:
        of_tasks = _by_task(differentiate, losses, self.shared)
        # Norms as they are without the scale: a step of the weights is as long as a norm.
        of_tasks = {task: [gradient / scale for gradient in own] for task, own in of_tasks.items()}
        self.state.update(losses.tasks, of_tasks)
        return super().gradients(differentiate, losses, variables, scale)


class ProjectedLosses:
    """The plain sum, with `PCGrad` between the tasks' gradients of the dense weights that they share.

    Args:
        surgery: A `PCGrad`.
        shared: Those weights: each used by two tasks at least.
    """

    def __init__(self, surgery: PCGrad, shared: Sequence[Any]) -> None:
        self.surgery = surgery
        self.state = surgery.seed_generator
        self.shared = list(shared)

    def total(self, losses: Losses, training: bool) -> Tensor:
        return sum(losses.values())

    def gradients(
        self, differentiate: Differentiate, losses: StepLosses, variables: Sequence[Any], scale: Tensor
    ) -> list[Any]:
        projected = self.surgery(_by_task(differentiate, losses, self.shared))
        of_layers = _dense(differentiate(lambda step: step.layers, self.shared), self.shared)
        shared = {id(v): p + g for v, p, g in zip(self.shared, projected, of_layers, strict=True)}
        own = [variable for variable in variables if id(variable) not in shared]
        rest = {id(v): g for v, g in zip(own, differentiate(_total, own), strict=True)}
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


def _total(losses: StepLosses) -> Tensor:
    return losses.total


def _by_task(
    differentiate: Differentiate, losses: StepLosses, variables: Sequence[Any]
) -> dict[str, list[Tensor]]:
    def of(task: str) -> list[Tensor]:
        return _dense(differentiate(lambda step: step.tasks[task], variables), variables)

    return {task: of(task) for task in losses.tasks}


def _dense(gradients: Sequence[Any], variables: Sequence[Any]) -> list[Tensor]:
    """Zeros where a loss doesn't depend on a variable, and no gradient by rows."""
    pairs = zip(gradients, variables, strict=True)
    return [ops.zeros(variable.shape, "float32") if g is None else dense(g) for g, variable in pairs]


def any_task(counted: Losses) -> Tensor:
    """Returns whether each row counts for any task, bool `[B]`, from `task.counted` of each."""
    return ops.any(ops.stack([ops.cast(rows_b, "float32") > 0 for rows_b in counted.values()]), axis=0)


def sum_of(losses: Sequence[Tensor]) -> Tensor:
    """Returns the sum of scalars, float32; 0 of none."""
    return sum((ops.cast(loss, "float32") for loss in losses), ops.zeros((), "float32"))
