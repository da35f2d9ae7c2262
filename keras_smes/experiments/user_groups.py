"""Metrics without a group of test users, from which intervals over users are computed."""

import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_smes.metrics import auc, gauc
from keras_smes.tasks import BinaryTask, Task

NUM_GROUPS = 50

Arrays = Mapping[str, NDArray]


def groups_of_users(users_n: NDArray) -> NDArray:
    """Returns the group of each row, int `[N]`, by a hash of its user; without a user, of its place."""
    names = (f"row {place}" if user is None else str(user) for place, user in enumerate(users_n.tolist()))
    return np.array([zlib.crc32(name.encode()) % NUM_GROUPS for name in names], np.int64)


def metrics_without_groups(
    tasks: Sequence[Task], scores: Arrays, labels: Arrays, users_n: NDArray
) -> dict[str, list[float | None]]:
    """Measures binary tasks `NUM_GROUPS` times, each time without one group of users.

    Returns:
        `TASK_auc` and `TASK_gauc`, each a list by group; `None` where the metric isn't defined.
    """
    groups_n = groups_of_users(users_n)
    without: dict[str, list[float | None]] = {}
    for task in tasks:
        if isinstance(task, BinaryTask):
            counts_n = task.counted(labels) > 0
            parts = (task.observed(labels), scores[task.name], users_n)
            own = [part_n[counts_n] for part_n in parts]
            within = _without(lambda *rows: gauc(*rows).value, own, groups_n[counts_n])
            without[f"{task.name}_auc"] = _without(auc, own[:2], groups_n[counts_n])
            without[f"{task.name}_gauc"] = within
    return without


def _without(metric: Callable[..., float], parts: Sequence[NDArray], groups_n: NDArray) -> list[float | None]:
    values = []
    for group in range(NUM_GROUPS):
        kept_n = groups_n != group
        value = metric(*(part_n[kept_n] for part_n in parts))
        values.append(None if np.isnan(value) else round(value, 8))
    return values
