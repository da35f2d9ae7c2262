"""What ways of weighing the losses of tasks share: the tasks by name, and one loss out of many."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

Tensor = Any


class TaskWeights(keras.layers.Layer):
    """Base of layers that take a dict of losses, one scalar a task, and return one loss.

    A layer, so that what it learns or remembers is trained and saved with the model that holds it.
    A subclass says in `combine` how `[T]` losses, in the order of `tasks`, become one.

    A mean over the rows that count is exactly 0 where a batch has no such row, and such a loss says nothing
    about its task: what a subclass learns or remembers of a task, it takes from the task's other batches.

    Args:
        tasks: Names of the tasks: the keys of the losses.

    Raises:
        ValueError: No task, or one named twice; when called, losses of other tasks.
    """

    def __init__(self, tasks: Sequence[str], **kwargs: Any) -> None:
        # Losses are small numbers with large sums: never half precision.
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        names = [] if isinstance(tasks, str) else list(tasks)
        if not names or len(set(names)) != len(names) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"`tasks` must be a list of names, none twice. Received: tasks={tasks!r}")
        self.tasks = names
        self.built = True  # Variables don't wait for a first call: the optimizer may be built before it.

    def call(self, losses: Mapping[str, Tensor], training: bool | None = None) -> Tensor:
        # Keras adds up losses of one type, its floatx.
        return ops.cast(self.combine(self.stack(losses), bool(training)), keras.config.floatx())

    def combine(self, losses_t: Tensor, training: bool) -> Tensor:
        """Returns one loss out of float32 `[T]`, in the order of `tasks`."""
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
        """Returns which tasks have a counted row in the batch, bool `[T]`: those whose loss is not 0."""
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
