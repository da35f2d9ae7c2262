"""Losses of a batch: one per task, and their combination for a step."""

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
    """Mean loss of each task over the rows of a batch that count for it.

    Under replicas the mean is over the global batch: each replica returns the same losses, and the mean of
    their gradients over replicas is that of the global batch.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)

    def __call__(self, targets: Losses, logits: Losses, counted: Losses) -> dict[str, Tensor]:
        """Returns a float32 scalar per task, exactly 0 where no row counts for it.

        Args:
            targets: `task.targets` of each task, `[B]`.
            logits: Logits of each task, `[B]` or `[B, width]`.
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
        tasks: Loss of each task times its weight.
        layers: Sum of the layers' own losses, such as the balance loss.
        total: The minimised loss: the joint loss plus `layers`.
    """

    tasks: Losses
    layers: Tensor
    total: Tensor

    def scaled(self, scale: Tensor) -> "StepLosses":
        """Returns the losses times `scale`."""
        tasks = {name: loss * scale for name, loss in self.tasks.items()}
        return StepLosses(tasks, self.layers * scale, self.total * scale)


# Returns gradients by variables; the function selects a loss of the step.
Differentiate = Callable[[Callable[[StepLosses], Tensor], Sequence[Any]], list[Any]]


class JointLoss(Protocol):
    """Combines the losses of tasks and returns gradients."""

    state: Any  # a layer or seed generator whose variables are part of the training state

    def total(self, losses: Losses, training: bool) -> Tensor:
        """Returns one scalar."""

    def gradients(
        self, differentiate: Differentiate, losses: StepLosses, variables: Sequence[Any], scale: Tensor
    ) -> list[Any]:
        """Returns a gradient for each variable."""

    def end_epoch(self) -> None:
        """Is called after each epoch."""


class WeightedLosses:
    """A weighted sum, with weights that are fixed, learned, or updated after each epoch."""

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


class GradNormLosses(WeightedLosses):
    """A weighted sum by `GradNorm`, which updates its weights at each step."""

    def __init__(self, weights: GradNorm, shared: Sequence[Any]) -> None:
        super().__init__(weights)
        self.shared = list(shared)

    def gradients(
        self, differentiate: Differentiate, losses: StepLosses, variables: Sequence[Any], scale: Tensor
    ) -> list[Any]:
        of_tasks = _by_task(differentiate, losses, self.shared)
        # Unscaled, since the step of the weights depends on the norms.
        of_tasks = {task: [gradient / scale for gradient in own] for task, own in of_tasks.items()}
        self.state.update(losses.tasks, of_tasks)
        return super().gradients(differentiate, losses, variables, scale)


class PCGradLosses:
    """The plain sum, with `PCGrad` between the tasks' gradients of shared dense weights."""

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
    """Builds the configured combination of task losses.

    Raises:
        ValueError: An option is unknown, or there are no dense weights that all tasks share.
    """
    names = [task.name for task in tasks]
    try:
        if name == "gradnorm":
            return GradNormLosses(GradNorm(names, **options), _encoder(core))
        if name == "pcgrad":
            return PCGradLosses(PCGrad(seed=seed, **options), _shared(core))
        if name == "fixed":
            return WeightedLosses(FixedWeights(dict.fromkeys(names, 1.0), **options))
        kind = {"uncertainty": UncertaintyWeights, "dwa": DynamicWeightAverage}[name]
        return WeightedLosses(kind(names, **options))
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
    """Densifies gradients; zeros where a loss doesn't depend on a variable."""
    pairs = zip(gradients, variables, strict=True)
    return [ops.zeros(variable.shape, "float32") if g is None else dense(g) for g, variable in pairs]


def any_task(counted: Losses) -> Tensor:
    """Returns whether each row counts for any task, bool `[B]`."""
    return ops.any(ops.stack([ops.cast(rows_b, "float32") > 0 for rows_b in counted.values()]), axis=0)


def sum_of(losses: Sequence[Tensor]) -> Tensor:
    """Returns the float32 sum of scalars; 0 for none."""
    return sum((ops.cast(loss, "float32") for loss in losses), ops.zeros((), "float32"))
