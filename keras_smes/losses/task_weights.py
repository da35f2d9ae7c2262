"""Base class of loss weightings: named tasks, many losses, one result."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.types import Tensor


class TaskWeights(keras.layers.Layer):
    """Base class of layers that map a dict of losses, one scalar per task, to one loss.

    It is a layer, so that its weights and state are trained and saved with the model that holds it.
    A subclass implements `combine`, from `[T]` losses in the order of `tasks` to one.

    The mean over the rows that count is exactly 0 in a batch without such rows. Subclasses ignore these
    batches for the task, in learned weights and in statistics.

    Args:
        tasks: Names of the tasks: the keys of the losses.

    Call arguments:
        losses: Dict of scalar tensors, one per task.
        training: Boolean, whether statistics of the losses are kept, where there are such.

    Returns:
        A scalar of Keras' floatx.
    """

    def __init__(self, tasks: Sequence[str], **kwargs: Any) -> None:
        # Sums of losses need float32.
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        names = [] if isinstance(tasks, str) else list(tasks)
        if not names or len(set(names)) != len(names) or not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"`tasks` must be a list of names, without duplicates. Received: tasks={tasks!r}"
            )
        self.tasks = names
        self.built = True  # Build now: the optimizer may be built before the first call.

    def call(self, losses: Mapping[str, Tensor], training: bool | None = None) -> Tensor:
        # Keras sums losses in its floatx.
        return ops.cast(self.combine(self.stack(losses), bool(training)), keras.config.floatx())

    def combine(self, losses_t: Tensor, training: bool) -> Tensor:
        """Returns one loss from float32 `[T]` losses in the order of `tasks`."""
        raise NotImplementedError

    def stack(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Returns the losses as float32 `[T]`, in the order of `tasks`."""
        if set(losses) != set(self.tasks):
            raise ValueError(
                f"`losses` must hold one loss for each of tasks={self.tasks}. Received: {sorted(losses)}"
            )
        return ops.stack([ops.cast(losses[task], "float32") for task in self.tasks])

    @staticmethod
    def counted(losses_t: Tensor) -> Tensor:
        """Returns which tasks have rows that count in the batch, bool `[T]`: their loss is not 0."""
        return ops.not_equal(losses_t, 0.0)

    def add_task_weight(self, name: str, initial: float, trainable: bool = False) -> Any:
        """Adds a float32 variable `[T]`."""
        return self.add_weight(
            shape=(len(self.tasks),),
            initializer=keras.initializers.Constant(initial),
            trainable=trainable,
            name=name,
        )

    def compute_output_shape(self, losses_shape: Any) -> tuple[int, ...]:
        return ()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tasks": list(self.tasks)}
