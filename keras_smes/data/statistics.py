"""Causal statistics: what was known of a user, a video, or both together before the day of a row.

No row ever sees its own day. A row is *known* from the day after the later of its date and the day of
its time, and *asks* at the start of the earlier of the two: logs such as KuaiRand's date some rows after
midnight that happened before it, and either reading alone would let such a row see its own future.
The state is by the day in training and test alike, so both see statistics of the same kind.
"""

import dataclasses
import datetime
from collections.abc import Sequence

import polars as pl

from keras_smes.data.interactions import Interactions, KeyGroup, Split, split
from keras_smes.features.schema import Feature, FeatureSchema, Number

# Columns that live only while statistics are computed.
_KNOWN, _AS_OF, _EVERYTHING, _IMPRESSIONS = "__known", "__as_of", "__everything", "__impressions"
_IS_EVENT = "__is_event"


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

    Args:
        interactions: Rows to add to; both training and test rows, since the former are the latter's past.
        frozen_from: Rows dated on or after this day know only what was known at its start, as a model
            that is deployed that day does. `None`, the default, freezes nothing.
        keys: The keys. `None`, the default, takes `interactions.statistics`.
        tasks: Label columns whose rates are taken. `None`, the default, takes `interactions.tasks`.

    Returns:
        New interactions with the same rows, and no `statistics` left to add.

    Raises:
        ValueError: If a key's `towards` names no earlier key.

    Example:

    >>> parts = split(data)
    >>> parts = split(with_statistics(data, frozen_from=parts.frozen_from))
    """
    keys = interactions.statistics if keys is None else tuple(keys)
    tasks = interactions.tasks if tasks is None else tuple(tasks)
    if not keys:
        return interactions
    _check_order(keys)
    frame = interactions.frame.with_columns(*_days(interactions, frozen_from), pl.lit(0).alias(_EVERYTHING))
    frame = _add_priors(frame, tasks)
    for key in keys:
        frame = _add_rates(frame, key, tasks)
    names = [name for key in keys for name in statistic_names(key, tasks)]
    frame = interactions.frame.with_columns(frame.select(names))
    added: list[Feature] = [Number(name) for name in names]
    schema = FeatureSchema((*interactions.schema.features, *added))
    return dataclasses.replace(interactions, frame=frame, schema=schema, statistics=())


def split_with_statistics(
    interactions: Interactions,
    train_until: datetime.date | None = None,
    test_from: datetime.date | None = None,
    test_until: datetime.date | None = None,
    test_fraction: float | None = None,
) -> Split:
    """Cuts as `split` does, with the statistics frozen at the first date of the test rows.

    Args:
        interactions: The rows to cut.
        train_until: As for `split`.
        test_from: As for `split`.
        test_until: As for `split`.
        test_fraction: As for `split`.

    Returns:
        A `Split` whose parts carry the statistics.
    """
    cut = (train_until, test_from, test_until, test_fraction)
    frozen_from = split(interactions, *cut).frozen_from
    return split(with_statistics(interactions, frozen_from), *cut)


def statistic_names(key: KeyGroup, tasks: Sequence[str]) -> list[str]:
    """Returns the names of the columns that `key` gives."""
    return [f"{key.name}_impressions", *(f"{key.name}_{task}_logodds" for task in tasks)]


def _check_order(keys: Sequence[KeyGroup]) -> None:
    names: list[str | None] = [None]
    for key in keys:
        if key.towards not in names:
            raise ValueError(
                f"`towards` must name an earlier key. Received: towards={key.towards!r} (key {key.name!r})"
            )
        names.append(key.name)


def _days(interactions: Interactions, frozen_from: datetime.date | None) -> tuple[pl.Expr, pl.Expr]:
    moment = pl.from_epoch(interactions.time, time_unit="ms").dt.replace_time_zone("UTC")
    day = moment.dt.convert_time_zone(interactions.time_zone).dt.date()
    known = pl.max_horizontal(interactions.date, day)
    as_of = pl.min_horizontal(interactions.date, day)
    if frozen_from is not None:
        frozen = pl.min_horizontal(as_of, pl.lit(frozen_from))
        as_of = pl.when(pl.col(interactions.date) >= frozen_from).then(frozen).otherwise(as_of)
    return known.alias(_KNOWN), as_of.alias(_AS_OF)


def _past(frame: pl.DataFrame, columns: Sequence[str], tasks: Sequence[str]) -> pl.DataFrame:
    """Returns impressions and positives before each (key, day) that some row asks about."""
    totals = [_IMPRESSIONS, *tasks]
    events = frame.group_by(*columns, pl.col(_KNOWN).alias(_AS_OF)).agg(
        pl.len().cast(pl.Int64).alias(_IMPRESSIONS), pl.col(tasks).cast(pl.Int64).sum()
    )
    nothing = [pl.lit(0, pl.Int64).alias(name) for name in totals]
    questions = frame.select(*columns, _AS_OF).unique().with_columns(nothing)
    both = pl.concat(
        [
            events.with_columns(pl.lit(True).alias(_IS_EVENT)),
            questions.with_columns(pl.lit(False).alias(_IS_EVENT)),
        ]
    )
    # A question sorts before the events of the same day: these are not yet known at the day's start.
    sums = both.sort(_AS_OF, _IS_EVENT).with_columns(pl.col(totals).cum_sum().over(columns))
    return sums.filter(~pl.col(_IS_EVENT)).select(*columns, _AS_OF, *totals)


def _with_past(frame: pl.DataFrame, columns: Sequence[str], tasks: Sequence[str]) -> pl.DataFrame:
    past = _past(frame, columns, tasks).rename({task: _positives(task) for task in tasks})
    on = [*columns, _AS_OF]
    return frame.join(past, on=on, how="left", nulls_equal=True, maintain_order="left")


def _add_priors(frame: pl.DataFrame, tasks: Sequence[str]) -> pl.DataFrame:
    frame = _with_past(frame, [_EVERYTHING], tasks)
    rates = [
        pl.when(pl.col(_IMPRESSIONS) > 0)
        .then((pl.col(_positives(task)) + 0.5) / (pl.col(_IMPRESSIONS) + 1))
        .otherwise(float("nan"))
        .alias(_rate(None, task))
        for task in tasks
    ]
    return frame.with_columns(rates).drop(_IMPRESSIONS, *map(_positives, tasks))


def _add_rates(frame: pl.DataFrame, key: KeyGroup, tasks: Sequence[str]) -> pl.DataFrame:
    frame = _with_past(frame, key.columns, tasks)
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
