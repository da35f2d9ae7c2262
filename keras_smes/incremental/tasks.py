"""Adds tasks to a trained model without changing the old tasks' outputs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_smes.incremental.grow_arrays import sources_by_name
from keras_smes.tasks import Task
from keras_smes.tasks.task import Labels


def grow_tasks(old: Sequence[Task], stated: Sequence[Task], labels: Labels) -> list[Task]:
    """Returns the tasks of a continued model: old ones as fitted, new ones fitted to `labels`.

    Raises:
        ValueError: An old task is missing, or has another type or label.

    Example:

    >>> old, labels = RegressionTask("seconds", mean=2.0, std=1.0), {"seconds": np.array([0.0, 40.0])}
    >>> grow_tasks([old], [RegressionTask("seconds", weight=3.0)], labels)[0].mean
    2.0
    """
    known = {task.name: task for task in old}
    if missing := [name for name in known if name not in {task.name for task in stated}]:
        raise ValueError(f"`tasks` must hold those of the run, {list(known)}. Received: missing={missing}")
    changed = [task.name for task in stated if task.name in known and _differ(task, known[task.name])]
    if changed:
        raise ValueError(f"A task of the run must keep its kind and columns. Received: changed={changed}")
    return [_as_fitted(task, known[task.name]) if task.name in known else task.fit(labels) for task in stated]


def _as_fitted(task: Task, old: Task) -> Task:
    """Keeps fitted values that aren't configured, since weights were learned for them."""
    open_fields = [field.name for field in dataclasses.fields(task) if getattr(task, field.name) is None]
    return dataclasses.replace(task, **{name: getattr(old, name) for name in open_fields})


def _differ(one: Task, other: Task) -> bool:
    return (one.kind, one.columns, one.width) != (other.kind, other.columns, other.width)


def grown_task_weights(
    weights: Sequence[float] | None, old: Sequence[str], new: Sequence[str]
) -> list[float] | None:
    """Returns the weights w of the joint choice with 0 for each task that is new.

    A new task then doesn't influence the shared experts: `s = sum_t w[t] p[b,t,:]` and S(b) are unchanged,
    and each old task's own experts and gates depend only on its own logits and S(b). The new task uses the
    shared experts, and chooses private ones. A later run may raise its weight.

    Returns:
        A weight for each of `new`, or `weights` if the tasks are the same.

    Example:

    >>> grown_task_weights(None, ["click", "like"], ["click", "buy", "like"])
    [1.0, 0.0, 1.0]
    """
    if list(old) == list(new):
        return None if weights is None else list(weights)
    known = dict(zip(old, [1.0] * len(old) if weights is None else weights, strict=True))
    return [float(known.get(name, 0.0)) for name in new]


def pooled_routers(kernel_dte: np.ndarray, weights: Sequence[float], is_new: np.ndarray) -> np.ndarray:
    """Returns a router's kernel whose new tasks start from the weighted mean of the old tasks' routers."""
    pooled, share_t = kernel_dte.copy(), np.where(is_new, 0.0, np.asarray(weights, np.float64))
    if share_t.sum() == 0:
        share_t = (~is_new).astype(np.float64)
    mean_de = np.einsum("t,dte->de", share_t / share_t.sum(), kernel_dte)
    pooled[:, is_new] = mean_de[:, None]
    return pooled


def task_sources(old: Sequence[Task], new: Sequence[Task]) -> np.ndarray:
    """Returns the old index of each task, -1 if it is new."""
    return sources_by_name([task.name for task in old], [task.name for task in new])


def weigh_tasks(
    values: Mapping[str, Any], before: Mapping[str, Any], old: Sequence[str], new: Sequence[str]
) -> dict[str, Any]:
    """Returns the expert layer's options with `grown_task_weights`, unless the weights were changed."""
    stated, known = values.get("task_weights"), before.get("task_weights")
    if stated != known:
        return dict(values)
    grown = grown_task_weights(known, old, new)
    return dict(values) if grown == known else {**values, "task_weights": grown}
