"""Argument validation: errors name the argument and the value received."""

import difflib
import itertools
import math
import numbers
import re
from collections.abc import Collection, Sequence
from typing import Any

from keras_smes.types import Shape

NAME_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # what TF Serving takes as a tensor name


def check_name(argument: str, name: Any) -> str:
    """Returns `name` if TF Serving takes it as the name of a tensor."""
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        raise ValueError(
            f"`{argument}` must match {NAME_PATTERN.pattern}, as names of served tensors do. "
            f"Received: {argument}={name!r}"
        )
    return name


def check_one_of(name: str, value: Any, known: Collection[Any]) -> None:
    """Rejects a value that is not among the known ones."""
    if value not in known:
        raise ValueError(f"`{name}` must be one of {list(known)}. Received: {name}={value!r}")


def nearest(received: str, known: Collection[str]) -> str:
    """Returns the end of a message that asks for the name which a misspelled one is near to, or nothing."""
    near = difflib.get_close_matches(received, known, 1)
    return f". Did you mean {near[0]!r}?" if near else ""


def check_count(name: str, value: Any, minimum: int = 1) -> int:
    """Returns `value` as an int if it is a whole number of at least `minimum`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {name}={value!r}")
    return int(value)


def check_counts(name: str, values: Any, minimum: int = 1) -> tuple[int, ...]:
    """Returns `values` as a tuple of ints if it is a non-empty sequence of such numbers."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ValueError(f"`{name}` must be a non-empty list of integers. Received: {name}={values!r}")
    for value in values:
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < minimum:
            raise ValueError(
                f"`{name}` must hold integers of at least {minimum}. Received: {name}={list(values)!r}"
            )
    return tuple(int(value) for value in values)


def check_weight(name: str, value: Any) -> float:
    """Returns `value` as a float if it is a finite number of at least zero."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 <= float(value) < math.inf:
        raise ValueError(f"`{name}` must be a finite number of at least 0. Received: {name}={value!r}")
    return float(value)


def check_number(name: str, value: Any) -> float:
    """Returns `value` as a float if it is a finite number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"`{name}` must be a finite number. Received: {name}={value!r}")
    return float(value)


def check_positive(name: str, value: Any) -> float:
    """Returns `value` as a float if it is a finite number above zero."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 < float(value) < math.inf:
        raise ValueError(f"`{name}` must be a finite number above 0. Received: {name}={value!r}")
    return float(value)


def check_ascending(name: str, values: Any) -> tuple[float, ...]:
    """Returns `values` as a tuple of floats if it is a non-empty sequence of finite, ascending numbers."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ValueError(f"`{name}` must be a non-empty list of numbers. Received: {name}={values!r}")
    ascending = tuple(check_number(name, value) for value in values)
    if any(low >= high for low, high in itertools.pairwise(ascending)):
        raise ValueError(f"`{name}` must ascend. Received: {name}={list(values)!r}")
    return ascending


def check_task_weights(values: Any, num_tasks: int) -> tuple[float, ...]:
    """Returns the weights `w [T]` of the joint choice, scaled to sum 1; `None` means equal ones."""
    if values is None:
        return (1.0 / num_tasks,) * num_tasks
    if not isinstance(values, Sequence):
        raise ValueError(f"`task_weights` must be a list of numbers. Received: task_weights={values!r}")
    weights = tuple(check_weight("task_weights", value) for value in values)
    if len(weights) != num_tasks or not 0 < sum(weights) < math.inf:
        raise ValueError(
            f"`task_weights` must hold num_tasks={num_tasks} weights, not all zero. "
            f"Received: task_weights={list(weights)!r}"
        )
    return tuple(weight / sum(weights) for weight in weights)


def check_picks(num_experts: int, num_shared: int, num_private: Sequence[int]) -> None:
    """Rejects counts of experts that no instance could satisfy, or that leave a task without any."""
    received = f"num_experts={num_experts}, num_shared={num_shared}, num_private={list(num_private)}"
    if num_shared + max(num_private) > num_experts:
        raise ValueError(f"`num_shared` + `num_private` must be at most `num_experts`. Received: {received}")
    if num_shared + min(num_private) < 1:
        raise ValueError(
            f"Every task needs an expert: `num_shared` + `num_private` >= 1. Received: {received}"
        )


def check_rank(name: str, shape: Shape, axes: str) -> None:
    """Rejects a tensor whose rank is not that of `axes`, such as `"[batch, width]"`."""
    if len(shape) != axes.count(",") + 1:
        raise ValueError(f"`{name}` must have shape {axes}. Received: {name} of shape {tuple(shape)}")
