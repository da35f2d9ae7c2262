"""Simulated sessions of a short-video app, with the true probability of every label.

Users and videos have latent factors in a few groups. All tasks of a group look at the same factors, each
with weights of its own, so that a sparse task can learn from a dense one of its group; tasks of different
groups share nothing but rows. A model sees ids and noisy readings of the factors.

With segments of users and categories of videos, each pair of them is a context in which factors weigh as in
no other: there is a function to be learned for each context and group, and a model of little capacity
can't hold them all.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from keras_smes.data.interactions import Interactions
from keras_smes.data.roles import KeyGroup
from keras_smes.features.schema import Feature, FeatureSchema, IntegerCategory, Number, check_name
from keras_smes.tasks import as_tasks
from keras_smes.validation import check_counts, check_weight

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
_BLOCK_ROWS = 100_000  # weights of its own for each row are large


def simulate(
    rows: int = 100_000,
    users: int = 2_000,
    videos: int = 5_000,
    *,
    groups: Mapping[str, Mapping[str, float]] = GROUPS,
    factors: int = 4,
    noise: float = 0.5,
    days: int = 14,
    seed: int = 0,
    contexts: Sequence[int] = (1, 1),
    strength: float = 1.0,
) -> Interactions:
    """Draws impressions and their labels from a known model.

    The label of task t in group g, for user u, video v and tab c, is 1 with probability

        p = sigmoid(a_t + user_g + video_g + strength * sum_k w_tk z_k)

        z_k = x_guk (1 + s_gck) y_gvk               with one context
        z_k = c_gjk x_guk + d_gjk y_gvk             with several

    with user and video factors x and y, the tab's stretch s and the weights c and d of the context j shared
    by the group, weights w of the task around 1, and a_t such that the mean of p is the task's rate. The
    context is the pair of the user's segment and the video's category, both features.

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
        contexts: How many segments of users and how many categories of videos there are. Defaults to
            `(1, 1)`, one context and no such features.
        strength: Factor of the sum over k, by which labels depend on who sees what. Defaults to `1.0`.

    Returns:
        Interactions whose frame also holds, outside of the schema, `TASK_probability`: the true p that
        `oracle` returns.

    Raises:
        ValueError: If a size is not positive, a rate not between 0 and 1, or a task is in two groups.

    Example:

    >>> data = simulate(rows=1_000_000, seed=1)
    >>> truth = oracle(data)["click"]
    """
    sizes = {"rows": rows, "users": users, "videos": videos, "factors": factors, "days": days}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` must be positive. Received: {name}={size}")
    if noise < 0:
        raise ValueError(f"`noise` must not be negative. Received: noise={noise}")
    if len(check_counts("contexts", contexts)) != 2:
        raise ValueError(f"`contexts` must be two numbers. Received: contexts={contexts!r}")
    check_weight("strength", strength)
    _check_groups(groups)
    # A stream for each purpose, so that more rows see the same users and videos.
    seeds = np.random.SeedSequence(seed).spawn(3 + len(groups))
    sessions, labels, *of_groups, kinds = (np.random.default_rng(child) for child in seeds)
    frame = _sessions(sessions, rows, users, videos, days)
    frame = frame.with_columns(_contexts(kinds, frame, users, videos, contexts))
    for (group, rates), stream in zip(groups.items(), of_groups, strict=True):
        world = _draw_world(stream, users, videos, factors, len(rates), contexts)
        frame = frame.with_columns(_readings(stream, world, group, frame, noise))
        frame = frame.with_columns(_outcomes(labels, world, rates, frame, strength))
    return _interactions(frame, groups, factors, contexts)


def oracle(interactions: Interactions) -> dict[str, np.ndarray]:
    """Returns the true probability of each task in each row of simulated interactions.

    No score ranks or predicts better on average: measured as scores are, these give the best AUC and log
    loss that there are.

    Args:
        interactions: Rows of `simulate`, or some of them.

    Returns:
        By task, `[N]` floats.

    Raises:
        ValueError: If the interactions are not simulated.

    Example:

    >>> probabilities = oracle(data)
    >>> list(probabilities) == list(data.task_names), probabilities["click"].shape
    (True, (500,))
    """
    columns = {task: f"{task}_probability" for task in interactions.task_names}
    missing = sorted(set(columns.values()) - set(interactions.frame.columns))
    if missing:
        raise ValueError(f"`interactions` must be simulated. Received: {interactions.name} without {missing}")
    return {task: interactions.frame[column].to_numpy() for task, column in columns.items()}


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


def _contexts(
    rng: np.random.Generator, frame: pl.DataFrame, users: int, videos: int, contexts: Sequence[int]
) -> list[pl.Series]:
    segment, category = rng.integers(0, contexts[0], users), rng.integers(0, contexts[1], videos)
    return [
        pl.Series("segment", segment[frame["user_id"].to_numpy()]),
        pl.Series("category", category[frame["video_id"].to_numpy()]),
    ]


@dataclasses.dataclass(frozen=True)
class _World:
    """True parameters of one group of tasks; the last axis is the factor's, or missing."""

    users: Floats
    videos: Floats
    tabs: Floats
    user_biases: Floats
    video_biases: Floats
    weights: Floats
    contexts: Floats | None  # [segments, categories, 2, factors], of the user's and the video's factors


def _draw_world(
    rng: np.random.Generator, users: int, videos: int, factors: int, tasks: int, contexts: Sequence[int]
) -> _World:
    return _World(
        users=rng.standard_normal((users, factors), np.float32),
        videos=rng.standard_normal((videos, factors), np.float32),
        tabs=0.5 * rng.standard_normal((_TABS, factors), np.float32),
        user_biases=0.5 * rng.standard_normal(users, np.float32),
        video_biases=0.5 * rng.standard_normal(videos, np.float32),
        weights=(1 + 0.5 * rng.standard_normal((tasks, factors), np.float32)) / np.sqrt(factors),
        contexts=_draw_contexts(rng, contexts, factors) if max(contexts) > 1 else None,
    )


def _draw_contexts(rng: np.random.Generator, contexts: Sequence[int], factors: int) -> Floats:
    weights: Floats = rng.standard_normal((*contexts, 2, factors)).astype(np.float32) / np.sqrt(2)
    return weights


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
    rng: np.random.Generator, world: _World, rates: Mapping[str, float], frame: pl.DataFrame, strength: float
) -> list[pl.Series]:
    all_scores = [
        _scores(world, frame[start : start + _BLOCK_ROWS], strength)
        for start in range(0, frame.height, _BLOCK_ROWS)
    ]
    series = []
    for (task, rate), scores in zip(rates.items(), np.concatenate(all_scores).T, strict=True):
        chances = _sigmoid(scores + _intercept(scores[:_CALIBRATION_ROWS], rate))
        series.append(pl.Series(f"{task}_probability", chances))
        series.append(pl.Series(task, (rng.random(len(chances)) < chances).astype(np.int8)))
    return series


def _scores(world: _World, frame: pl.DataFrame, strength: float) -> Floats:
    """Returns the score of each task, but for its intercept, `[rows, tasks]`."""
    names = ("user_id", "video_id", "tab", "segment", "category")
    user, video, tab, segment, category = (frame[name].to_numpy() for name in names)
    of_user, of_video = world.users[user], world.videos[video]
    if world.contexts is None:
        affinities = of_user * of_video * (1 + world.tabs[tab])
    else:
        weights = world.contexts[segment, category]
        affinities = weights[:, 0] * of_user + weights[:, 1] * of_video
    biases = world.user_biases[user] + world.video_biases[video]
    return strength * (affinities @ world.weights.T) + biases[:, None]


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
    frame: pl.DataFrame, groups: Mapping[str, Mapping[str, float]], factors: int, contexts: Sequence[int]
) -> Interactions:
    features: list[Feature] = [IntegerCategory("user_id", side="user"), IntegerCategory("video_id")]
    features += [IntegerCategory(name, dim=4, side="user") for name in ("tab", "hour")]
    if contexts[0] > 1:
        features.append(IntegerCategory("segment", dim=8, side="user"))
    if contexts[1] > 1:
        features.append(IntegerCategory("category", dim=8))
    for group in groups:
        features += [Number(name, side="user") for name in _reading_names(group, "user", factors)]
        features += [Number(name) for name in _reading_names(group, "video", factors)]
    return Interactions(
        name="simulated",
        frame=frame,
        user="user_id",
        time="time_ms",
        date="date",
        tasks=as_tasks(task for rates in groups.values() for task in rates),
        schema=FeatureSchema(tuple(features)),
        counts={"rows_read": frame.height, "exact_duplicates": 0, "rows": frame.height},
        statistics=STATISTICS,
    )
