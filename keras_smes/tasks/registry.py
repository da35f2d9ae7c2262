"""Kinds of tasks by name, and tasks from plain values. Each kind registers itself."""

from collections.abc import Mapping
from typing import Any, TypeVar

from keras_smes.configuration.kinds import made_of_kind

TaskClass = TypeVar("TaskClass", bound=type[Any])

KINDS: dict[str, type[Any]] = {}


def register_kind(cls: TaskClass) -> TaskClass:
    """Registers a task class under its `kind`, as a decorator, so that configurations can name it.

    Returns:
        The class, a subclass of `Task` with a `kind`.
    """
    KINDS[cls.kind] = cls
    return cls


def task_from_config(config: Mapping[str, Any]) -> Any:
    """Returns the task of a `Task.to_config()`.

    Args:
        config: The `kind` and the fields of its class; omitted fields have their defaults.

    Returns:
        A `Task`.

    Raises:
        ValueError: The kind is unknown, the name is missing, or a key is not a field of the kind.

    Example:

    >>> task_from_config({"kind": "binary", "name": "click", "weight": 2}).weight
    2.0
    """
    return made_of_kind("task", config, KINDS)
