"""Turns logits into served scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_smes.tasks import Task, as_tasks, task_from_config
from keras_smes.types import Tensor


@keras.saving.register_keras_serializable(package="keras_smes")
class TaskScores(keras.layers.Layer):
    """Turns each task's logits into its score, by `Task.score`.

    It has no weights. The tasks are saved with it, so that a loaded ranker has them.

    Args:
        tasks: Tasks, names of binary ones, or configurations from `to_config`.

    Call arguments:
        logits: Dict from task name to its tower's outputs, float32 `[B]` or `[B, width]`.

    Returns:
        Dict from task name to score, float32 `[B]`, in the order of `tasks`.

    Raises:
        ValueError: There is no task, or two of one name. When called: logits of other tasks.

    Example:

    >>> scores = TaskScores(["click"])({"click": keras.ops.zeros(2)})
    >>> [float(p) for p in scores["click"]]
    [0.5, 0.5]
    """

    def __init__(self, tasks: Sequence[Task | str | Mapping[str, Any]], **kwargs: Any) -> None:
        # Scores are compared: never half precision.
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.tasks = as_tasks(task_from_config(t) if isinstance(t, Mapping) else t for t in tasks)

    def call(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = [task.name for task in self.tasks]
        if set(logits) != set(names):
            raise ValueError(f"`logits` must be those of tasks={names}. Received: {sorted(logits)}")
        return {task.name: task.score(logits[task.name]) for task in self.tasks}

    def compute_output_shape(self, logits_shape: Mapping[str, Any]) -> dict[str, tuple[int | None, ...]]:
        return {task.name: tuple(logits_shape[task.name][:1]) for task in self.tasks}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tasks": [task.to_config() for task in self.tasks]}
