"""Tasks from what a user or a file says: names, tasks, plain values."""

from collections.abc import Iterable, Mapping
from typing import Any

from keras_smes.configuration.kinds import made_of_kind
from keras_smes.tasks.binary import BinaryTask
from keras_smes.tasks.ordinal import OrdinalTask
from keras_smes.tasks.regression import RegressionTask
from keras_smes.tasks.task import Task
from keras_smes.tasks.weighted_logistic import WeightedLogisticTask

KINDS: dict[str, Any] = {
    cls.kind: cls for cls in (BinaryTask, RegressionTask, WeightedLogisticTask, OrdinalTask)
}


def as_tasks(tasks: Iterable[Task | str]) -> tuple[Task, ...]:
    """Returns tasks, a plain name as `BinaryTask(name)`.

    Args:
        tasks: Tasks or names of binary ones.

    Returns:
        A tuple of tasks, in their order.

    Raises:
        ValueError: No task, two of one name, or something that is no task.

    Example:

    >>> [task.name for task in as_tasks(["click", BinaryTask("buy", condition="click")])]
    ['click', 'buy']
    """
    given = () if isinstance(tasks, (str, Task)) else tuple(tasks)
    if not given or not all(isinstance(task, (str, Task)) for task in given):
        raise ValueError(f"`tasks` must be a list of tasks or names, not empty. Received: tasks={tasks!r}")
    made = tuple(BinaryTask(task) if isinstance(task, str) else task for task in given)
    names = [task.name for task in made]
    if len(set(names)) < len(names):
        raise ValueError(f"`tasks` must be named once each. Received: tasks={names}")
    return made


def task_from_config(config: Mapping[str, Any]) -> Task:
    """Returns the task that `Task.to_config` wrote; fields that are left out take their defaults.

    Raises:
        ValueError: The kind is unknown, the name is missing, or a key is none of the kind's fields.
    """
    made: Task = made_of_kind("task", config, KINDS)
    return made
