"""Grows a layer of experts by experts or tasks: sources of its weights, and initial values of new ones."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_smes.incremental.experts import closed_columns, expert_sources, with_noise
from keras_smes.incremental.grow_arrays import FRESH, Sources
from keras_smes.incremental.tasks import pooled_routers, task_sources
from keras_smes.layers import SMES
from keras_smes.tasks import Task

NAME = "experts"


def mixture_sources(
    old: keras.layers.Layer, new: keras.layers.Layer, old_tasks: Sequence[Task], new_tasks: Sequence[Task]
) -> dict[str, Sources]:
    """Returns the sources of the expert layer's weights, by name.

    Returns:
        The sources; empty if experts and tasks are the same.

    Raises:
        ValueError: The number of experts decreases, or the layer can't grow.
    """
    tasks_t = task_sources(old_tasks, new_tasks)
    same_tasks = len(tasks_t) == len(old_tasks) and bool((tasks_t == np.arange(len(tasks_t))).all())
    if not isinstance(new, SMES) or not isinstance(old, SMES):
        if not same_tasks:
            raise ValueError(
                f"Tasks can be added to SMES and its like, in any order. Received: {type(new).__name__}, "
                f"tasks={[task.name for task in new_tasks]}, before={[task.name for task in old_tasks]}"
            )
        return {}
    before, after = old.router.num_experts, new.router.num_experts
    copies_e = expert_sources(before, after)
    if same_tasks and after == before:
        return {}
    if new.router.rank is not None and after > before:
        raise ValueError(
            "Experts can be added where routers have no `router_rank`: low-rank routers can't keep them "
            f"below all others. Received: num_experts={after}, before={before}, router_rank={new.router.rank}"
        )
    columns_e = np.where(np.arange(after) < before, copies_e, FRESH)  # new ones are set by `closed_columns`
    of_weight: dict[int, Sources] = {id(new.router.kernel): {1: tasks_t, 2: columns_e}}
    of_weight |= {id(weight): {0: copies_e} for weight in (*new.experts.kernels, *new.experts.biases)}
    return {f"{NAME}/{n}": of_weight.get(id(weight), {}) for n, weight in enumerate(new.weights)}


def finish_mixture(layer: Any, before: int, is_new: np.ndarray, h_bd: np.ndarray, seed: int) -> None:
    """Sets the weights of new experts and tasks, after the other weights have been copied."""
    generator = np.random.default_rng(seed)
    kernel_dte = np.array(layer.router.kernel)
    if is_new.any():
        weights = layer.router.task_weights or [1.0] * len(is_new)
        kernel_dte = pooled_routers(kernel_dte, weights, is_new)
    if layer.router.num_experts > before:
        kernel_dte = closed_columns(kernel_dte, before, h_bd, generator)
        for weight in (*layer.experts.kernels, *layer.experts.biases):
            weight.assign(with_noise(np.array(weight), before, generator))
    layer.router.kernel.assign(kernel_dte)


def count_experts(layer: Any) -> int:
    """Returns the number of experts of an `SMES` layer, 0 for other layers."""
    return int(layer.router.num_experts) if isinstance(layer, SMES) else 0


def new_tasks_of(old: Sequence[Task], new: Sequence[Task]) -> np.ndarray:
    """Returns which tasks are new, bool `[T]`."""
    return task_sources(old, new) == FRESH
