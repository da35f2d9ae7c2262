"""Simulated sessions of a short-video app, with the true probability of every label.

Users and videos have latent factors in a few groups. All tasks of a group look at the same factors, each
with weights of its own, so that a sparse task can learn from a dense one of its group; tasks of different
groups share nothing but rows. A model sees ids and noisy readings of the factors.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import polars as pl

from keras_smes.data.interactions import Interactions, KeyGroup
from keras_smes.features.schema import Feature, FeatureSchema, IntegerCategory, Number, check_name

GROUPS: Mapping[str, Mapping[str, float]] = {
    "watching": {"click": 0.45, "long_view": 0.3, "like": 0.03},
    "sharing": {"comment": 0.1, "follow": 0.02, "forward": 0.01},
}
STATISTICS = (
    KeyGroup("user", ("user_id",)),
    KeyGroup("video", ("video_id",)),
)

Floats = np.ndarray

_TABS = 4
_SESSION_LENGTH = 10  # impressions, on average
_GAP_MS = 30_000  # between two impressions of a session, on average
_START_MS = 1_650_844_800_000  # 2022-04-25 00:00 UTC
_DAY_MS = 86_400_000
_CALIBRATION_ROWS = 200_000


def simulate(
    rows: int = 100_000,
    users: int = 2_000,
    videos: int = 5_000,
    groups: Mapping[str, Mapping[str, float]] = GROUPS,
    factors: int = 4,
    noise: float = 0.5,
    days: int = 14,
    seed: int = 0,
) -> Interactions:
    """Draws impressions and their labels from a known model.

    The label of task t in group g, for user u, video v and tab c, is 1 with probability

        p = sigmoid(a_t + user_g + video_g + sum_k w_tk x_guk (1 + s_gck) y_gvk)

    with user and video factors x and y and the tab's stretch s shared by the group, weights w of the task
    around 1, and a_t such that the mean of p is the task's rate.

    Args:
        rows: Impressions. Defaults to `100_000`.
        users: Users, some much busier than others. Defaults to `2_000`.
        videos: Videos, some much more popular than others. Defaults to `5_000`.
        groups: Mean rate, between 0 and 1, of each task of each group. Defaults to `GROUPS`: six tasks
            in two groups.
        factors: Latent factors of a group. Defaults to `4`.
        noise: Standard deviation of the noise on the readings of the factors, whose own is 1. Defaults to
            `0.5`.
        days: Days over which sessions start. Defaults to `14`.
        seed: The same seed gives the same frame. Defaults to `0`.

    Returns:
        Interactions whose frame also holds, outside of the schema, `TASK_probability`: the true p, by
        which the AUC of an oracle can be had.

    Raises:
        ValueError: If a size is not positive, a rate not between 0 and 1, or a task is in two groups.

    Example:

    >>> data = simulate(rows=1_000_000, seed=1)
    >>> truth = data.frame["click_probability"].to_numpy()
    """
    sizes = {"rows": rows, "users": users, "videos": videos, "factors": factors, "days": days}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` must be positive. Received: {name}={size}")
    if noise < 0:
        raise ValueError(f"`noise` must not be negative. Received: noise={noise}")
    _check_groups(groups)
    # A stream for each purpose, so that more rows see the same users and videos.
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2 + len(groups))]
    impressions = _sessions(streams[0], rows, users, videos, days)
    frame = impressions
    for (group, rates), stream in zip(groups.items(), streams[2:], strict=True):
        world = _draw_world(stream, users, videos, factors, len(rates))
        frame = frame.with_columns(_readings(stream, world, group, frame, noise))
        frame = frame.with_columns(_outcomes(streams[1], world, rates, frame))
    return _interactions(frame, groups, factors)


def _check_groups(groups: Mapping[str, Mapping[str, float]]) -> None:
    tasks = [task for rates in groups.values() for task in rates]
    if not tasks or len(set(tasks)) < len(tasks):
        raise ValueError(f"`groups` must hold tasks, each once. Received: tasks={tasks}")
    for name in (*groups, *tasks):
        check_name("groups", name)
    for rates in groups.values():
        for task, rate in rates.items():
            if not 0 < rate < 1:
                raise ValueError(f"A task's rate must be between 0 and 1. Received: {task}={rate}")


def _sessions(rng: np.random.Generator, rows: int, users: int, videos: int, days: int) -> pl.DataFrame:
    lengths = rng.geometric(1 / _SESSION_LENGTH, size=rows)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), rows)) + 1]
    session = np.repeat(np.arange(len(lengths)), lengths)[:rows]
    starts = _START_MS + rng.integers(0, days * _DAY_MS, size=len(lengths))
    gaps = rng.exponential(_GAP_MS, size=rows).astype(np.int64) + 1
    passed = np.cumsum(gaps)
    is_first = np.diff(session, prepend=-1) > 0
    time = starts[session] + passed - passed[is_first][session]
    frame = pl.DataFrame(
        {
            "time_ms": time,
            "user_id": _skewed(rng, users, len(lengths))[session],
            "video_id": _skewed(rng, videos, rows),
            "tab": rng.integers(0, _TABS, size=len(lengths))[session],
        }
    ).sort("time_ms", maintain_order=True)
    moment = pl.from_epoch("time_ms", time_unit="ms")
    return frame.with_columns(moment.dt.date().alias("date"), moment.dt.hour().cast(pl.Int64).alias("hour"))


def _skewed(rng: np.random.Generator, ids: int, size: int) -> np.ndarray:
    """Returns ids of which the first are the most frequent, like 1 / sqrt(rank)."""
    return (ids * rng.random(size) ** 2).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class _World:
    """What is true of one group of tasks; the last axis is the factor's, or missing."""

    users: Floats
    videos: Floats
    tabs: Floats
    user_biases: Floats
    video_biases: Floats
    weights: Floats


def _draw_world(rng: np.random.Generator, users: int, videos: int, factors: int, tasks: int) -> _World:
    return _World(
        users=rng.standard_normal((users, factors), np.float32),
        videos=rng.standard_normal((videos, factors), np.float32),
        tabs=0.5 * rng.standard_normal((_TABS, factors), np.float32),
        user_biases=0.5 * rng.standard_normal(users, np.float32),
        video_biases=0.5 * rng.standard_normal(videos, np.float32),
        weights=(1 + 0.5 * rng.standard_normal((tasks, factors), np.float32)) / np.sqrt(factors),
    )


def _readings(
    rng: np.random.Generator, world: _World, group: str, frame: pl.DataFrame, noise: float
) -> list[pl.Series]:
    """Returns what can be seen of the factors: one noisy reading of each user and each video."""
    series = []
    for side, factors in (("user", world.users), ("video", world.videos)):
        seen = factors + noise * rng.standard_normal(factors.shape, np.float32)
        ids = frame[f"{side}_id"].to_numpy()
        names = _reading_names(group, side, factors.shape[1])
        series += [pl.Series(name, seen[ids, k]) for k, name in enumerate(names)]
    return series


def _reading_names(group: str, side: str, factors: int) -> list[str]:
    return [f"{side}_{group}_{k}" for k in range(factors)]


def _outcomes(
    rng: np.random.Generator, world: _World, rates: Mapping[str, float], frame: pl.DataFrame
) -> list[pl.Series]:
    user, video, tab = (frame[name].to_numpy() for name in ("user_id", "video_id", "tab"))
    affinities = world.users[user] * world.videos[video] * (1 + world.tabs[tab])
    biases = world.user_biases[user] + world.video_biases[video]
    series = []
    for (task, rate), weights in zip(rates.items(), world.weights, strict=True):
        scores = affinities @ weights + biases
        chances = _sigmoid(scores + _intercept(scores[:_CALIBRATION_ROWS], rate))
        series.append(pl.Series(f"{task}_probability", chances))
        series.append(pl.Series(task, (rng.random(len(chances)) < chances).astype(np.int8)))
    return series


def _intercept(scores: Floats, rate: float) -> float:
    """Returns what to add to the scores for the mean probability to be `rate`, by bisection."""
    low, high = -30.0, 30.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _sigmoid(scores + middle).mean() > rate else (middle, high)
    return (low + high) / 2


def _sigmoid(scores: Floats) -> Floats:
    return 1 / (1 + np.exp(-scores.astype(np.float64)))


def _interactions(
    frame: pl.DataFrame, groups: Mapping[str, Mapping[str, float]], factors: int
) -> Interactions:
    readings = [
        name
        for group in groups
        for side in ("user", "video")
        for name in _reading_names(group, side, factors)
    ]
    features: list[Feature] = [IntegerCategory("user_id"), IntegerCategory("video_id")]
    features += [IntegerCategory("tab", dim=4), IntegerCategory("hour", dim=4)]
    features += [Number(name) for name in readings]
    return Interactions(
        name="simulated",
        frame=frame,
        user="user_id",
        time="time_ms",
        date="date",
        tasks=tuple(task for rates in groups.values() for task in rates),
        schema=FeatureSchema(tuple(features)),
        counts={"rows_read": frame.height, "exact_duplicates": 0, "rows": frame.height},
        statistics=STATISTICS,
    )
