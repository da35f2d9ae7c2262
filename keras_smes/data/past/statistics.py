"""Causal statistics: counts of a user, a video, or both together before the day of a row.

Which rows are before a day says `keras_smes.data.past.days`. The state is by the day in training and test
alike, so both see statistics of the same kind.
"""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import polars as pl
from ibis.expr.types import Table

from keras_smes.data.interactions import Interactions
from keras_smes.data.past.days import AS_OF, KNOWN, days_of, known_and_as_of
from keras_smes.data.past.engine import compute
from keras_smes.data.past.expressions import counts_before
from keras_smes.data.past.histories import with_histories
from keras_smes.data.roles import KeyGroup
from keras_smes.data.split import Split, split
from keras_smes.features.schema import Feature, FeatureSchema, Number

# A column that lives only while statistics are computed.
_IMPRESSIONS = "__impressions"

# From key columns to what `count_past` counts of them.
PastOf = Callable[[Sequence[str]], pl.DataFrame]


def with_statistics(
    interactions: Interactions,
    frozen_from: datetime.date | None = None,
    keys: Sequence[KeyGroup] | None = None,
) -> Interactions:
    """Adds the causal statistics of `keys` to the rows and to the schema.

    For a key that `n` earlier rows share, `p` of them positive, there are

        KEY_impressions  = log(1 + n)
        KEY_TASK_logodds = log(r / (1 - r)),  r = (p + smoothing * prior) / (n + smoothing)

    where the prior is the rate of `key.towards`, or else `(P + 0.5) / (N + 1)` over all N earlier rows, P of
    them positive. "Earlier" is strictly before the day of the row. Rows with no earlier row at all, those
    of the first day, have NaN for log-odds, which a `Number` takes as missing.

    With `interactions.half_life` H, in days, all four counts forget: a row known from day k on counts
    `2^(-(a - k - 1) / H)` as of day a > k, so that a row of yesterday counts 1 and one of H days before that
    1/2.

    Args:
        interactions: Rows to add to; both training and test rows, since the former are the latter's past.
        frozen_from: Rows dated on or after this day know only what was known at its start, as a model
            that is deployed that day does. `None`, the default, freezes nothing.
        keys: The keys. `None`, the default, takes `interactions.statistics`.

    Returns:
        New interactions with the same rows, and no `statistics` left to add.

    Raises:
        ValueError: If a key's `towards` names no earlier key, or dates and times are of other days.

    Example:

    >>> parts = split(data)
    >>> parts = split(with_statistics(data, frozen_from=parts.frozen_from))
    """
    keys, tasks = interactions.statistics if keys is None else tuple(keys), interactions.event_columns
    if not keys:
        return interactions
    check_towards(keys)
    interactions.check_same_days()
    frame = interactions.frame.with_columns(*known_and_as_of(interactions, frozen_from))
    added = statistics_of_rows(frame, keys, tasks, partial(count_past, frame, roles=interactions))
    frame = interactions.frame.with_columns(added)
    return dataclasses.replace(interactions, frame=frame, **_roles_with(interactions, keys, tasks))


def split_with_statistics(
    interactions: Interactions,
    train_until: datetime.date | None = None,
    test_from: datetime.date | None = None,
    test_until: datetime.date | None = None,
    test_fraction: float | None = None,
) -> Split[Interactions]:
    """Cuts as `split` does, with statistics and histories frozen at the first date of the test rows.

    Args:
        interactions: The rows to cut.
        train_until: As for `split`.
        test_from: As for `split`.
        test_until: As for `split`.
        test_fraction: As for `split`.

    Returns:
        A `Split` whose parts carry the statistics and the histories.
    """
    cut = (train_until, test_from, test_until, test_fraction)
    frozen_from = split(interactions, *cut).frozen_from
    return split(with_histories(with_statistics(interactions, frozen_from), frozen_from), *cut)


def statistic_names(key: KeyGroup, tasks: Sequence[str]) -> list[str]:
    """Returns the names of the columns that `with_statistics` adds for a key.

    Args:
        key: The `KeyGroup`.
        tasks: Names of the tasks.

    Returns:
        The impressions, then the log odds of each task.

    Example:

    >>> statistic_names(KeyGroup("user_tab", ("user_id", "tab")), ["click", "like"])
    ['user_tab_impressions', 'user_tab_click_logodds', 'user_tab_like_logodds']
    """
    return [f"{key.name}_impressions", *(f"{key.name}_{task}_logodds" for task in tasks)]


def check_towards(keys: Sequence[KeyGroup]) -> None:
    """Stops if a key's `towards` names no earlier key."""
    names: list[str | None] = [None]
    for key in keys:
        if key.towards not in names:
            raise ValueError(
                f"`towards` must name an earlier key. Received: towards={key.towards!r} (key {key.name!r})"
            )
        names.append(key.name)


def _roles_with(interactions: Interactions, keys: Sequence[KeyGroup], tasks: Sequence[str]) -> dict[str, Any]:
    features: list[Feature] = [
        Number(name, side=_side(interactions, key)) for key in keys for name in statistic_names(key, tasks)
    ]
    schema = FeatureSchema((*interactions.schema.features, *features))
    return {"schema": schema, "statistics": ()}


def _side(interactions: Interactions, key: KeyGroup) -> str:
    """A statistic is the same for all candidates of a request if its whole key is."""
    sides = {feature.name: feature.side for feature in interactions.schema.features}
    if interactions.user is not None:
        sides[interactions.user] = "user"  # also where the model isn't given it
    return "user" if all(sides.get(column) == "user" for column in key.columns) else "candidate"


def count_past(rows: pl.DataFrame, columns: Sequence[str], roles: Interactions) -> pl.DataFrame:
    """Returns impressions and positives before each (key, `AS_OF`) of the rows.

    Args:
        rows: Rows with `KNOWN` and `AS_OF`, all that have the keys in question.
        columns: The columns of the key; none counts all rows.
        roles: Whose label columns, half-life and memory count; its rows don't.

    Returns:
        `columns`, `AS_OF`, and the counts.
    """
    tasks, half_life = roles.event_columns, roles.half_life
    needed = rows.select(*dict.fromkeys([*columns, *tasks, KNOWN, AS_OF]))
    days = 1 if half_life is None else days_of(rows)
    return compute(needed, Counting(tuple(columns), tasks, half_life, days), roles.memory)


@dataclasses.dataclass(frozen=True)
class Counting:
    """From rows to impressions and positives before each (key, `AS_OF`), on any engine: see `count_past`."""

    columns: tuple[str, ...]
    tasks: tuple[str, ...]
    half_life: float | None
    days: int

    def __call__(self, rows: Table) -> Table:
        counted = {_IMPRESSIONS: None, **{_positives(task): rows[task] == 1 for task in self.tasks}}
        return counts_before(rows, self.columns, counted, self.half_life, self.days)


def statistics_of_rows(
    frame: pl.DataFrame, keys: Sequence[KeyGroup], tasks: Sequence[str], past_of: PastOf
) -> pl.DataFrame:
    """Returns the statistics of rows.

    Args:
        frame: The rows, with `AS_OF`.
        keys: The keys.
        tasks: The label columns.
        past_of: Gives what `count_past` counted, at least for the keys and days of `frame`; a key that is
            missing there has no earlier rows.

    Returns:
        The columns of `statistic_names`, row by row.
    """
    frame = _add_priors(frame, tasks, past_of)
    for key in keys:
        frame = _add_rates(frame, key, tasks, past_of)
    return frame.select(name for key in keys for name in statistic_names(key, tasks))


def _with_past(
    frame: pl.DataFrame, columns: Sequence[str], tasks: Sequence[str], past_of: PastOf
) -> pl.DataFrame:
    frame = frame.join(
        past_of(columns), on=[*columns, AS_OF], how="left", nulls_equal=True, maintain_order="left"
    )
    return frame.with_columns(pl.col(_IMPRESSIONS, *map(_positives, tasks)).fill_null(0))


def _add_priors(frame: pl.DataFrame, tasks: Sequence[str], past_of: PastOf) -> pl.DataFrame:
    frame = _with_past(frame, (), tasks, past_of)
    rates = [
        pl.when(pl.col(_IMPRESSIONS) > 0)
        .then((pl.col(_positives(task)) + 0.5) / (pl.col(_IMPRESSIONS) + 1))
        .otherwise(float("nan"))
        .alias(_rate(None, task))
        for task in tasks
    ]
    return frame.with_columns(rates).drop(_IMPRESSIONS, *map(_positives, tasks))


def _add_rates(frame: pl.DataFrame, key: KeyGroup, tasks: Sequence[str], past_of: PastOf) -> pl.DataFrame:
    frame = _with_past(frame, key.columns, tasks, past_of)
    rates = [
        (
            (pl.col(_positives(task)) + key.smoothing * pl.col(_rate(key.towards, task)))
            / (pl.col(_IMPRESSIONS) + key.smoothing)
        ).alias(_rate(key.name, task))
        for task in tasks
    ]
    impressions, *logodds = statistic_names(key, tasks)
    frame = frame.with_columns(pl.col(_IMPRESSIONS).log1p().cast(pl.Float32).alias(impressions), *rates)
    chances = [pl.col(_rate(key.name, task)) for task in tasks]
    frame = frame.with_columns(
        (rate / (1 - rate)).log().cast(pl.Float32).alias(name)
        for rate, name in zip(chances, logodds, strict=True)
    )
    return frame.drop(_IMPRESSIONS, *map(_positives, tasks))


def _positives(task: str) -> str:
    return f"__{task}_positives"


def _rate(key: str | None, task: str) -> str:
    return f"__{key or ''}_{task}_rate"
