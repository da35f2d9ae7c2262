import dataclasses
import datetime
from collections.abc import Callable
from functools import partial

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_smes.data.interactions import History, Interactions, KeyGroup
from keras_smes.data.past.causality import check_causal
from keras_smes.data.past.histories import with_histories
from keras_smes.data.past.statistics import with_statistics
from keras_smes.features.schema import FeatureSchema, IntegerCategory, Number

FIRST = datetime.date(1970, 1, 1)
HOUR_MS = 3_600_000


def make(rows: list[tuple[int, ...]]) -> Interactions:
    """Rows of (hours since 1970, whether dated a day late, user, video, click)."""
    rows = sorted(rows)
    frame = pl.DataFrame(
        {
            "date": [FIRST + datetime.timedelta(days=hour // 24 + late) for hour, late, *_ in rows],
            "time": [row[0] * HOUR_MS for row in rows],
            "user": [row[2] for row in rows],
            "video": [row[3] for row in rows],
            "click": pl.Series([row[4] for row in rows], dtype=pl.Int8),
        }
    )
    schema = FeatureSchema((IntegerCategory("user"), IntegerCategory("video")))
    return Interactions(
        "made",
        frame,
        "user",
        "time",
        "date",
        ("click",),
        schema,
        {},
        statistics=(KeyGroup("user", ("user",)), KeyGroup("both", ("user", "video"), towards="user")),
        histories=(History("history", "video", "click", length=2),),
    )


ROWS = [(hour, 0, hour % 2, hour % 3, hour % 5 == 0) for hour in range(0, 96, 4)]
logs = st.lists(
    st.tuples(*(st.integers(0, highest) for highest in (140, 1, 3, 4, 1))), min_size=1, max_size=50
)


@settings(max_examples=25, deadline=None)
@given(logs)
def test_statistics_and_histories_know_no_future(rows: list[tuple[int, ...]]) -> None:
    check_causal(lambda data: with_histories(with_statistics(data)), make(rows))


@settings(max_examples=10, deadline=None)
@given(logs, st.integers(0, 6))
def test_nor_do_frozen_ones(rows: list[tuple[int, ...]], day: int) -> None:
    frozen_from = FIRST + datetime.timedelta(days=day)
    check_causal(partial(with_statistics, frozen_from=frozen_from), make(rows))
    check_causal(partial(with_histories, frozen_from=frozen_from), make(rows))


def adding(expression: pl.Expr) -> Callable[[Interactions], Interactions]:
    def build(data: Interactions) -> Interactions:
        schema = FeatureSchema((*data.schema.features, Number("added")))
        return dataclasses.replace(data, frame=data.frame.with_columns(added=expression), schema=schema)

    return build


LEAKS = {
    "the mean of the whole log": pl.col("click").mean().over("user"),
    "how often the video is shown in all": pl.len().over("video"),
    "the row's own label": pl.col("click").cast(pl.Float32),
    "clicks so far, of the same day too": pl.col("click").cum_sum().over("user"),
    "the next row's video": pl.col("video").shift(-1),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_leaks_are_named(leak: str) -> None:
    with pytest.raises(ValueError, match=r"\['added'\] differ (without the rows after|with other labels)"):
        check_causal(adding(LEAKS[leak]), make(ROWS))


def test_what_is_known_beforehand_passes() -> None:
    check_causal(adding(pl.col("video") * 2 + pl.col("time").shift(1)), make(ROWS))


def test_rows_must_stay() -> None:
    def build(data: Interactions) -> Interactions:
        return dataclasses.replace(data, frame=data.frame.filter(pl.int_range(pl.len()) % 2 == 0))

    with pytest.raises(ValueError, match="must keep the rows"):
        check_causal(build, make(ROWS))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="most_days=0"):
        check_causal(with_statistics, make(ROWS), most_days=0)
