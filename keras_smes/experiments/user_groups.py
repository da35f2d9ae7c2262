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
    """Returns the group of each row, int `[N]` in `[0, NUM_GROUPS)`: by a hash of its user.

    All rows of a user are in one group, in every run and whatever the other rows are. A row without a user
    is in the group of its place.

    Args:
        users_n: Users `[N]`, integers, strings or `None`.
    """
    names = (f"row {place}" if user is None else str(user) for place, user in enumerate(users_n.tolist()))
    return np.array([zlib.crc32(name.encode()) % NUM_GROUPS for name in names], np.int64)


def metrics_without_groups(
    tasks: Sequence[Task], scores: Arrays, labels: Arrays, users_n: NDArray
) -> dict[str, list[float | None]]:
    """Measures binary tasks `NUM_GROUPS` times, each time without one group of users.

    Args:
        tasks: The tasks; those of other kinds are left out.
        scores: Scores `[N]` by task.
        labels: Label columns `[N]`.
        users_n: Users `[N]`.

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
            for name, metric in _METRICS.items():
                without[f"{task.name}_{name}"] = _without(metric, own, groups_n[counts_n])
    return without


_METRICS: Mapping[str, Callable[..., float]] = {
    "auc": lambda labels_n, scores_n, users_n: auc(labels_n, scores_n),
    "gauc": lambda labels_n, scores_n, users_n: gauc(labels_n, scores_n, users_n).value,
}


def _without(metric: Callable[..., float], parts: Sequence[NDArray], groups_n: NDArray) -> list[float | None]:
    values = []
    for group in range(NUM_GROUPS):
        kept_n = groups_n != group
        value = metric(*(part_n[kept_n] for part_n in parts))
        values.append(None if np.isnan(value) else round(value, 8))
    return values
