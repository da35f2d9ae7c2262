"""Causal statistics: what was known of a user, a video, or both together before the day of a row.

Which rows are before a day says `keras_smes.data.days`. The state is by the day in training and test
alike, so both see statistics of the same kind.
"""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from keras_smes.data.days import AS_OF, KNOWN, known_and_as_of
from keras_smes.data.history import with_histories
from keras_smes.data.interactions import Interactions
from keras_smes.data.roles import KeyGroup
from keras_smes.data.split import Split, split
from keras_smes.features.schema import Feature, FeatureSchema, Number

# Columns that live only while statistics are computed.
EVERYTHING = "__everything"
_IMPRESSIONS, _IS_EVENT = "__impressions", "__is_event"

# From key columns to what `count_past` counts of them.
PastOf = Callable[[Sequence[str]], pl.DataFrame]


def with_statistics(
    interactions: Interactions,
    frozen_from: datetime.date | None = None,
    keys: Sequence[KeyGroup] | None = None,
    tasks: Sequence[str] | None = None,
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
        tasks: Label columns whose rates are taken. `None`, the default, takes those of binary tasks.

    Returns:
        New interactions with the same rows, and no `statistics` left to add.

    Raises:
        ValueError: If a key's `towards` names no earlier key, or dates and times are of other days.

    Example:

    >>> parts = split(data)
    >>> parts = split(with_statistics(data, frozen_from=parts.frozen_from))
    """
    keys, tasks = chosen(interactions, keys, tasks)
    if not keys:
        return interactions
    interactions.check_same_days()
    frame = interactions.frame.with_columns(*known_and_as_of(interactions, frozen_from))
    half_life = interactions.half_life
    added = statistics_of_rows(
        frame, keys, tasks, lambda columns: count_past(frame.lazy(), columns, tasks, half_life)
    )
    frame = interactions.frame.with_columns(added)
    return dataclasses.replace(interactions, frame=frame, **_roles_with(interactions, keys, tasks))


def split_with_statistics(
    interactions: Interactions,
    train_until: datetime.date | None = None,
    test_from: datetime.date | None = None,
    test_until: datetime.date | None = None,
    test_fraction: float | None = None,
) -> Split:
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
    """Returns the names of the columns that `key` gives."""
    return [f"{key.name}_impressions", *(f"{key.name}_{task}_logodds" for task in tasks)]


def chosen(
    interactions: Interactions, keys: Sequence[KeyGroup] | None, tasks: Sequence[str] | None
) -> tuple[tuple[KeyGroup, ...], tuple[str, ...]]:
    """Returns the keys and the tasks to count, by default those of the interactions.

    Raises:
        ValueError: If a key's `towards` names no earlier key.
    """
    keys = interactions.statistics if keys is None else tuple(keys)
    names: list[str | None] = [None]
    for key in keys:
        if key.towards not in names:
            raise ValueError(
                f"`towards` must name an earlier key. Received: towards={key.towards!r} (key {key.name!r})"
            )
        names.append(key.name)
    return keys, interactions.event_columns if tasks is None else tuple(tasks)


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


def count_past(
    rows: pl.LazyFrame, columns: Sequence[str], tasks: Sequence[str], half_life: float | None = None
) -> pl.DataFrame:
    """Returns impressions and positives before each (key, `AS_OF`) that some row asks about.

    Args:
        rows: Rows with `KNOWN` and `AS_OF`, all that have the keys in question.
        columns: The columns of the key; `[EVERYTHING]` counts all rows.
        tasks: The label columns.
        half_life: Days after which a row counts half. Defaults to `None`, it always counts whole.

    Returns:
        `columns`, `AS_OF`, and the counts.
    """
    if tuple(columns) == (EVERYTHING,):
        rows = rows.with_columns(pl.lit(0).alias(EVERYTHING))
    totals = [_IMPRESSIONS, *tasks]
    events = rows.group_by(*columns, pl.col(KNOWN).alias(AS_OF)).agg(
        pl.len().cast(pl.Int64).alias(_IMPRESSIONS), (pl.col(tasks) == 1).sum().cast(pl.Int64)
    )
    nothing = [pl.lit(0, pl.Int64).alias(name) for name in totals]
    questions = rows.select(*columns, AS_OF).unique().with_columns(nothing)
    both = pl.concat(
        [
            events.with_columns(pl.lit(True).alias(_IS_EVENT)),
            questions.with_columns(pl.lit(False).alias(_IS_EVENT)),
        ]
    )
    # Rows may be many; what is left of them after the grouping are few.
    both = both.collect(engine="streaming").lazy()
    # A question sorts before the events of the same day: these are not yet known at the day's start.
    both = both.sort(*columns, AS_OF, _IS_EVENT)
    if half_life is None:
        sums = both.with_columns(_sums_by_key(columns, totals))
    else:
        sums = _decayed_sums_by_key(both.collect(), columns, totals, half_life).lazy()
    return sums.filter(~pl.col(_IS_EVENT)).select(*columns, AS_OF, *totals).collect()


def _begins(columns: Sequence[str]) -> pl.Expr:
    """Whether a key begins at a row, of rows sorted by key."""
    changes = [pl.col(name).ne_missing(pl.col(name).shift(1)) for name in columns]
    return pl.any_horizontal(*changes, pl.int_range(pl.len()) == 0)


def _decayed_sums_by_key(
    both: pl.DataFrame, columns: Sequence[str], totals: Sequence[str], half_life: float
) -> pl.DataFrame:
    """Running sums that begin anew at each key and halve every so many days, of rows sorted by key and day.

    The n-th rows of all keys at once: the sum up to a row is what the one before it left, and the row.
    """
    begins = both.select(_begins(columns)).to_series().to_numpy()
    # A question is asked at the end of the day before: what is known from then on counts whole.
    days = (both[AS_OF].to_physical() - (~both[_IS_EVENT]).cast(pl.Int32)).to_numpy().astype(np.float64)
    place = np.arange(len(begins)) - np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
    sums = both.select(totals).to_numpy().astype(np.float64)
    order = np.argsort(place, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(place[order])) + 1)[1:]:
        left = 0.5 ** ((days[rows] - days[rows - 1]) / half_life)
        sums[rows] += left[:, None] * sums[rows - 1]
    return both.with_columns(pl.DataFrame(sums, schema=list(totals), orient="row"))


def _sums_by_key(columns: Sequence[str], totals: Sequence[str]) -> list[pl.Expr]:
    """Running sums that begin anew at each key, of rows sorted by key: several times faster than `over`."""
    begins = _begins(columns)
    running = {name: pl.col(name).cum_sum() for name in totals}
    before = {name: pl.when(begins).then(running[name] - pl.col(name)).forward_fill() for name in totals}
    return [(running[name] - before[name]).alias(name) for name in totals]


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
    frame = _add_priors(frame.with_columns(pl.lit(0).alias(EVERYTHING)), tasks, past_of)
    for key in keys:
        frame = _add_rates(frame, key, tasks, past_of)
    return frame.select(name for key in keys for name in statistic_names(key, tasks))


def _with_past(
    frame: pl.DataFrame, columns: Sequence[str], tasks: Sequence[str], past_of: PastOf
) -> pl.DataFrame:
    past = past_of(columns).rename({task: _positives(task) for task in tasks})
    frame = frame.join(past, on=[*columns, AS_OF], how="left", nulls_equal=True, maintain_order="left")
    return frame.with_columns(pl.col(_IMPRESSIONS, *map(_positives, tasks)).fill_null(0))


def _add_priors(frame: pl.DataFrame, tasks: Sequence[str], past_of: PastOf) -> pl.DataFrame:
    frame = _with_past(frame, [EVERYTHING], tasks, past_of)
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
