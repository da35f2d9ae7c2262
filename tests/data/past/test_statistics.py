import dataclasses
import datetime
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_smes.data import Interactions, KeyGroup, split
from keras_smes.data.past.causality import check_causal
from keras_smes.data.past.statistics import split_with_statistics, statistic_names, with_statistics
from keras_smes.features.schema import FeatureSchema, IntegerCategory

DAY_MS = 86_400_000
FIRST = datetime.date(1970, 1, 1)
KEYS = (
    KeyGroup("user", ("user",), smoothing=2.0),
    KeyGroup("tag", ("tag",), smoothing=3.0),
    KeyGroup("user_tag", ("user", "tag"), smoothing=1.5, towards="user"),
)


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def make(rows: list[tuple[object, ...]], tasks: tuple[str, ...] = ("click",), **more: object) -> Interactions:
    """Rows of (day, hours since 1970, user, tag, labels...)."""
    names = ("number", "hours", "user", "tag", *tasks)
    frame = pl.DataFrame(rows, schema=names, orient="row", schema_overrides={"tag": pl.String}).select(
        pl.exclude("number", "hours"),
        pl.Series("date", [day(row[0]) for row in rows]),
        (pl.col("hours") * 3_600_000).cast(pl.Int64).alias("time"),
    )
    schema = FeatureSchema((IntegerCategory("user"),))
    return Interactions("made", frame, "user", "time", "date", tasks, schema, {}, **more)


def logit(rate: float) -> float:
    return math.log(rate / (1 - rate))


# Worked by hand, with a smoothing of 2:
#
#  day  user click | earlier: N P  prior          | of the user: n p  r
#   0    A    1    | 0 0  none                    |
#   0    A    0    | 0 0  none                    |
#   0    B    1    | 0 0  none                    |
#   1    A    1    | 3 2  2.5 / 4 = 0.625         | 2 1  (1 + 2 * 0.625) / 4 = 0.5625
#   2    A    0    | 4 3  3.5 / 5 = 0.7           | 3 2  (2 + 2 * 0.7) / 5 = 0.68
#   2    B    0    | 4 3  3.5 / 5 = 0.7           | 1 1  (1 + 2 * 0.7) / 3 = 0.8
#
# Frozen from day 1, the rows of day 2 see what the row of day 1 sees: A 0.5625, B (1 + 1.25) / 3 = 0.75.
WORKED = [
    (0, 1, 1, "x", 1),
    (0, 2, 1, "x", 0),
    (0, 3, 2, "x", 1),
    (1, 25, 1, "x", 1),
    (2, 50, 1, "x", 0),
    (2, 51, 2, "x", 0),
]


@pytest.mark.parametrize(
    ("frozen_from", "impressions", "rates"),
    [(None, [2, 3, 1], [0.5625, 0.68, 0.8]), (day(1), [2, 2, 1], [0.5625, 0.5625, 0.75])],
)
def test_a_case_worked_by_hand(
    frozen_from: datetime.date | None, impressions: list[int], rates: list[float]
) -> None:
    columns = with_statistics(make(WORKED), frozen_from, KEYS[:1]).columns()
    expected = [0, 0, 0, *np.log1p(impressions)]
    np.testing.assert_allclose(columns["user_impressions"], expected, rtol=1e-6)
    expected = [math.nan] * 3 + [logit(rate) for rate in rates]
    np.testing.assert_allclose(columns["user_click_logodds"], expected, rtol=1e-5)


def test_schema_and_rows_of_the_result() -> None:
    data = make(WORKED, statistics=KEYS)
    result = with_statistics(data)
    names = [name for key in KEYS for name in statistic_names(key, ["click"])]
    assert names[:2] == ["user_impressions", "user_click_logodds"]
    assert result.schema.names == ["user", *names]
    assert result.frame.columns == [*data.frame.columns, *names]
    assert result.frame.select(data.frame.columns).equals(data.frame)
    assert with_statistics(result) is result  # nothing left to add


def test_a_row_dated_after_its_moment_neither_tells_nor_sees_too_early() -> None:
    # The second row happened on day 0, at 23:00, and is dated day 1. It must not see the rest of day 0, of
    # which some is later; and day 1 must not see it, since a log by date has it only after day 1.
    rows = [(0, 1, 1, "x", 1), (1, 23, 1, "x", 1), (1, 30, 1, "x", 0), (2, 50, 1, "x", 0)]
    impressions = with_statistics(make(rows), None, KEYS[:1]).columns()["user_impressions"]
    np.testing.assert_allclose(np.expm1(impressions), [0, 0, 1, 3], rtol=1e-6)


def test_the_day_begins_where_the_data_set_says() -> None:
    # At 20:00 UTC of day 0 it is day 1 in Shanghai, so that a row dated day 1 is no late one.
    rows = [(0, 1, 1, "x", 1), (1, 20, 1, "x", 1)]
    impressions = with_statistics(make(rows, time_zone="Asia/Shanghai"), None, KEYS[:1]).columns()
    np.testing.assert_allclose(np.expm1(impressions["user_impressions"]), [0, 1], rtol=1e-6)


def slow(
    data: Interactions, frozen_from: datetime.date | None, half_life: float | None = None
) -> list[dict[str, float]]:
    """The definition, row by row."""
    rows = data.frame.to_dicts()
    for row in rows:
        moment = FIRST + datetime.timedelta(milliseconds=row["time"] // DAY_MS * DAY_MS)
        row["known"], row["asks"] = max(row["date"], moment), min(row["date"], moment)
        if frozen_from is not None and row["date"] >= frozen_from:
            row["asks"] = min(row["asks"], frozen_from)
    pasts = [[past for past in rows if past["known"] < row["asks"]] for row in rows]
    return [slow_row(row, past, data.task_names, half_life) for row, past in zip(rows, pasts, strict=True)]


def slow_row(
    row: dict, past: list[dict], tasks: tuple[str, ...], half_life: float | None
) -> dict[str, float]:
    def weight(other: dict) -> float:
        days = (row["asks"] - other["known"]).days - 1
        return 1.0 if half_life is None else 2 ** (-days / half_life)

    def count(others: list[dict], task: str | None = None) -> float:
        return sum(weight(other) * (1 if task is None else other[task]) for other in others)

    statistics, rates = {}, {}
    for task in tasks:
        if past:
            rates["all", task] = (count(past, task) + 0.5) / (count(past) + 1)
        else:
            rates["all", task] = math.nan
    for key in KEYS:
        mine = [other for other in past if all(other[name] == row[name] for name in key.columns)]
        statistics[f"{key.name}_impressions"] = math.log(1 + count(mine))
        for task in tasks:
            positives = count(mine, task)
            prior = rates[key.towards or "all", task]
            rate = (positives + key.smoothing * prior) / (count(mine) + key.smoothing)
            rates[key.name, task] = rate
            statistics[f"{key.name}_{task}_logodds"] = logit(rate)
    return statistics


def draw(seed: int, rows: int = 120) -> Interactions:
    rng = np.random.default_rng(seed)
    hours = np.sort(rng.integers(0, 24 * 6, rows))
    late = rng.random(rows) < 0.1
    return make(
        [
            (int(h) // 24 + int(d), int(h), int(u), (None, "x", "y")[t], int(a), int(b))
            for h, d, u, t, a, b in zip(
                hours,
                late,
                rng.integers(0, 5, rows),
                rng.integers(0, 3, rows),
                rng.integers(0, 2, rows),
                rng.random(rows) < 0.05,
                strict=True,
            )
        ],
        tasks=("click", "like"),
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), frozen=st.none() | st.integers(0, 7))
def test_agrees_with_the_definition(seed: int, frozen: int | None) -> None:
    data = draw(seed)
    frozen_from = None if frozen is None else day(frozen)
    frame = with_statistics(data, frozen_from, KEYS).frame
    expected = pl.DataFrame(slow(data, frozen_from))
    for name in expected.columns:
        np.testing.assert_allclose(
            frame[name].to_numpy(), expected[name].to_numpy(), rtol=1e-5, atol=1e-6, err_msg=name
        )


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    frozen=st.none() | st.integers(0, 7),
    half_life=st.sampled_from([0.01, 0.5, 3.0, 1000.0]),
)
def test_forgetting_agrees_with_the_definition(seed: int, frozen: int | None, half_life: float) -> None:
    data = dataclasses.replace(draw(seed), half_life=half_life)
    frozen_from = None if frozen is None else day(frozen)
    frame = with_statistics(data, frozen_from, KEYS).frame
    expected = pl.DataFrame(slow(data, frozen_from, half_life))
    for name in expected.columns:
        np.testing.assert_allclose(
            frame[name].to_numpy(), expected[name].to_numpy(), rtol=1e-5, atol=1e-6, err_msg=name
        )


def test_forgetting_worked_by_hand() -> None:
    # On day 3, with a half-life of 2 days: A's rows of days 0, 0 and 1 count 1/2, 1/2 and 0.7071, B's 1/2 of
    # day 0; of day 2 both are whole. n = 1/2 + 1/2 + 0.7071 + 1 = 2.7071.
    rows = [*WORKED, (3, 74, 1, "x", 1)]
    columns = with_statistics(make(rows, half_life=2.0), None, KEYS[:1]).columns()
    assert np.expm1(columns["user_impressions"][-1]) == pytest.approx(2 + 0.5**0.5, rel=1e-6)
    # Positives of A: 1/2 of day 0 and 0.7071 of day 1; of all rows also B's 1/2 of day 0.
    prior = (1 + 0.5**0.5 + 0.5) / (1.5 + 0.5**0.5 + 2 + 1)
    rate = (0.5 + 0.5**0.5 + 2 * prior) / (2 + 0.5**0.5 + 2)
    assert columns["user_click_logodds"][-1] == pytest.approx(logit(rate), rel=1e-5)


def test_forgetting_nothing_of_yesterday() -> None:
    # As many rows of counts as columns of them: an array that is as wide as it is high.
    rows = [(0, 1, 1, "x", 1, 0, 0), (0, 2, 1, "x", 1, 1, 0), (1, 25, 1, "x", 0, 0, 0)]
    tasks = ("click", "like", "follow")
    forgetting, keeping = (
        with_statistics(make(rows, tasks, half_life=half_life), None, KEYS[:1]).frame
        for half_life in (1.5, None)
    )
    assert forgetting.equals(keeping)
    assert np.expm1(forgetting["user_impressions"][-1]) == pytest.approx(2.0)


def test_forgetting_is_causal() -> None:
    data = dataclasses.replace(draw(3), statistics=KEYS, half_life=1.5)
    check_causal(with_statistics, data)


@pytest.mark.parametrize("half_life", [0, -1.0, math.nan])
def test_a_half_life_must_be_positive(half_life: float) -> None:
    with pytest.raises(ValueError, match="half_life"):
        make(WORKED, half_life=half_life)


def flipped(data: Interactions, rows: np.ndarray) -> Interactions:
    labels = [
        pl.Series(task, np.where(rows, 1 - data.frame[task].to_numpy(), data.frame[task].to_numpy()))
        for task in data.task_names
    ]
    return dataclasses.replace(data, frame=data.frame.with_columns(labels))


@pytest.mark.parametrize("seed", range(5))
def test_labels_of_the_own_day_and_later_do_not_leak(seed: int) -> None:
    data = draw(seed)
    moments = data.frame["time"].to_numpy() // DAY_MS
    dates = data.frame["date"].to_physical().to_numpy()
    before = with_statistics(data, None, KEYS).frame.drop(data.task_names)
    for number in range(6):
        future = (dates >= number) | (moments >= number)
        after = with_statistics(flipped(data, future), None, KEYS).frame.drop(data.task_names)
        not_later = (dates <= number) | (moments <= number)
        assert after.filter(not_later).equals(before.filter(not_later))
        if number < 4:
            assert not after.equals(before)  # the labels do matter to those that come later


@pytest.mark.parametrize("seed", range(3))
def test_labels_of_a_frozen_window_matter_to_none(seed: int) -> None:
    data = draw(seed)
    window = data.frame["date"].to_physical().to_numpy() >= 3
    frozen = with_statistics(data, day(3), KEYS).frame.drop(data.task_names)
    assert with_statistics(flipped(data, window), day(3), KEYS).frame.drop(data.task_names).equals(frozen)
    other = with_statistics(flipped(data, ~window), day(3), KEYS).frame.drop(data.task_names)
    assert not other.equals(frozen)


def test_split_with_statistics_freezes_at_the_first_test_date() -> None:
    data = dataclasses.replace(draw(7), statistics=KEYS)
    parts = split_with_statistics(data, test_from=day(3))
    expected = split(with_statistics(data, frozen_from=day(3)), test_from=day(3))
    assert parts.train.frame.equals(expected.train.frame)
    assert parts.test.frame.equals(expected.test.frame)
    assert not parts.test.frame.equals(split(with_statistics(data), test_from=day(3)).test.frame)


def test_a_prior_must_come_first() -> None:
    with pytest.raises(ValueError, match=r"towards='user' \(key 'user_tag'\)"):
        with_statistics(make(WORKED), None, (KEYS[2], KEYS[0]))
