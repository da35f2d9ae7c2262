import dataclasses
import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_smes.data.interactions import History, Interactions
from keras_smes.data.past.histories import with_histories
from keras_smes.data.past.statistics import split_with_statistics
from keras_smes.features.schema import FeatureSchema, HashedString, IntegerCategory, Number, Sequence

DAY_MS = 86_400_000
FIRST = datetime.date(1970, 1, 1)
HISTORY = History("history", item="video", label="watched", length=2)


def day(number: int) -> datetime.date:
    return FIRST + datetime.timedelta(days=number)


def make(rows: list[tuple[int, ...]], *histories: History) -> Interactions:
    """Rows of (date, hours since 1970, user, video, watched)."""
    frame = pl.DataFrame(
        {
            "date": [day(row[0]) for row in rows],
            "time": [row[1] * 3_600_000 for row in rows],
            "user": [row[2] for row in rows],
            "video": pl.Series([row[3] for row in rows], dtype=pl.Int64),
            "watched": pl.Series([row[4] for row in rows], dtype=pl.Int8),
        }
    )
    schema = FeatureSchema((IntegerCategory("user", side="user"), IntegerCategory("video", dim=4)))
    return Interactions(
        "made", frame, "user", "time", "date", ("watched",), schema, {}, histories=histories or (HISTORY,)
    )


WORKED = [
    (0, 1, 1, 10, 1),
    (0, 2, 1, 11, 0),  # not watched
    (0, 3, 1, 12, 1),
    (0, 4, 2, 20, 1),
    (1, 25, 1, 13, 1),
    (2, 50, 1, 14, 0),
    (2, 51, 2, 15, 0),
    (2, 52, 3, 16, 1),
]


def test_a_case_worked_by_hand() -> None:
    result = with_histories(make(WORKED))
    lists = result.frame["history"].to_list()
    assert lists == [[], [], [], [], [10, 12], [12, 13], [20], []]
    columns = result.columns()
    assert columns["history"].tolist() == [[0, 0]] * 4 + [[10, 12], [12, 13], [20, 0], [0, 0]]
    assert columns["history_length"].tolist() == [0, 0, 0, 0, 2, 2, 1, 0]
    assert columns["history"].dtype == np.int64
    assert columns["history_length"].dtype == np.int32


def test_frozen_rows_know_nothing_later() -> None:
    lists = with_histories(make(WORKED), frozen_from=day(1)).frame["history"].to_list()
    assert lists == [[], [], [], [], [10, 12], [10, 12], [20], []]


def test_the_feature_shares_the_table_of_the_item() -> None:
    data = make(WORKED, dataclasses.replace(HISTORY, pooling="attention"))
    result = with_histories(data)
    sequence, item = result.schema["history"], result.schema["video"]
    assert isinstance(sequence, Sequence)
    assert (sequence.dim, sequence.max_length, sequence.side) == (4, 2, "user")
    assert sequence.target == "video"
    assert sequence.table == item.table == "video"
    fitted = result.schema.fit(result.columns())
    assert fitted["history"].vocabulary == fitted["video"].vocabulary == (10, 11, 12, 13, 14, 15, 16, 20)
    assert result.frame.drop("history").equals(data.frame)
    assert with_histories(result) is result  # nothing left to add


def test_items_may_be_hashed_strings_and_missing() -> None:
    data = make(WORKED)
    words = pl.Series("video", ["a", "b", None, "c", "d", "e", "f", "g"])
    schema = FeatureSchema((HashedString("video", num_bins=8), Number("user")))
    data = dataclasses.replace(data, frame=data.frame.with_columns(words), schema=schema)
    result = with_histories(data)
    assert result.frame["history"].to_list()[4:] == [["a"], ["a", "d"], ["c"], []]
    assert result.columns()["history"].tolist()[5:] == [["a", "d"], ["c", ""], ["", ""]]
    assert result.schema["history"].num_bins == 8


def test_nobody_watched_anything() -> None:
    result = with_histories(make([(0, 1, 1, 10, 0), (1, 25, 1, 10, 0)]))
    assert result.frame["history"].to_list() == [[], []]
    assert result.columns()["history_length"].tolist() == [0, 0]


def slow(data: Interactions, frozen_from: datetime.date | None, length: int) -> list[list[int]]:
    """The definition, row by row."""
    rows = data.frame.to_dicts()
    for row in rows:
        moment = day(row["time"] // DAY_MS)
        row["known"], row["asks"] = max(row["date"], moment), min(row["date"], moment)
        if frozen_from is not None and row["date"] >= frozen_from:
            row["asks"] = min(row["asks"], frozen_from)
    lists = []
    for row in rows:
        past = [o for o in rows if o["user"] == row["user"] and o["known"] < row["asks"] and o["watched"]]
        past.sort(key=lambda other: (other["known"], other["time"]))
        lists.append([other["video"] for other in past][-length:])
    return lists


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(*(st.integers(0, highest) for highest in (140, 1, 3, 9, 1))),
        min_size=1,
        max_size=60,
    ),
    length=st.integers(1, 4),
    frozen=st.none() | st.integers(0, 7),
)
def test_agrees_with_the_definition(rows, length: int, frozen: int | None) -> None:
    rows = [(hour // 24 + late, hour, user, video, label) for hour, late, user, video, label in sorted(rows)]
    data = make(rows, dataclasses.replace(HISTORY, length=length))
    frozen_from = None if frozen is None else day(frozen)
    result = with_histories(data, frozen_from)
    assert result.frame["history"].to_list() == slow(data, frozen_from, length)


def test_a_split_has_histories_frozen_at_the_first_test_date() -> None:
    parts = split_with_statistics(make(WORKED), test_from=day(1))
    assert parts.train.frame["history"].to_list() == [[], [], [], []]
    assert parts.test.frame["history"].to_list() == [[10, 12], [10, 12], [20], []]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="length=0"):
        History("history", "video", "watched", length=0)
    with pytest.raises(ValueError, match="name='a b'"):
        History("a b", "video", "watched")
    with pytest.raises(ValueError, match=r"missing=\['nothing'\]"):
        make(WORKED, History("history", "nothing", "watched"))
    with pytest.raises(ValueError, match=r"`item` must be a category.*item='time'"):
        with_histories(make(WORKED, History("history", "time", "watched")))
