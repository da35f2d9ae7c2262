"""Lists of tasks, in which a plain name is a binary task."""

from collections.abc import Iterable

from keras_smes.tasks.binary import BinaryTask
from keras_smes.tasks.task import Task


def as_tasks(tasks: Iterable[Task | str]) -> tuple[Task, ...]:
    """Returns tasks, a plain name as `BinaryTask(name)`.

    Args:
        tasks: Tasks or names of binary ones.

    Returns:
        A tuple of tasks, in their order.

    Raises:
        ValueError: The list is empty, two tasks have one name, or an element is not a task.

    Example:

    >>> [task.name for task in as_tasks(["click", BinaryTask("buy", condition="click")])]
    ['click', 'buy']
    """
    given = () if isinstance(tasks, (str, Task)) else tuple(tasks)
    if not given or not all(isinstance(task, (str, Task)) for task in given):
        raise ValueError(f"`tasks` must be a non-empty list of tasks or names. Received: tasks={tasks!r}")
    made = tuple(BinaryTask(task) if isinstance(task, str) else task for task in given)
    names = [task.name for task in made]
    if len(set(names)) < len(names):
        raise ValueError(f"`tasks` must have unique names. Received: tasks={names}")
    return made
