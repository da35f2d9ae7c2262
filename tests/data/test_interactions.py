import dataclasses
import datetime

import numpy as np
import polars as pl
import pytest

from keras_smes.data import Interactions, KeyGroup, SplitDates, split
from keras_smes.features.schema import FeatureSchema, HashedString, IntegerCategory, Number, StringCategory
from keras_smes.tasks import BinaryTask, RegressionTask

DAY_MS = 86_400_000


def day(number: int) -> datetime.date:
    return datetime.date(2022, 5, number)


def make(days: list[int], times: list[int] | None = None, **changes: object) -> Interactions:
    """Rows of user 0, 1, ... on days of May 2022, at `times` or an hour apart."""
    rows = len(days)
    frame = pl.DataFrame(
        {
            "who": list(range(rows)),
            "when": times or [3_600_000 * row for row in range(rows)],
            "date": [day(number) for number in days],
            "click": pl.Series([row % 2 for row in range(rows)], dtype=pl.Int8),
        }
    )
    schema = FeatureSchema((IntegerCategory("who"),))
    made = Interactions("made", frame, "who", "when", "date", ("click",), schema, {"rows": rows})
    return dataclasses.replace(made, **changes)


def test_columns_have_the_types_of_the_schema_and_missing_values() -> None:
    frame = pl.DataFrame(
        {
            "id": pl.Series([3, None], dtype=pl.Int32),
            "size": pl.Series([1, None], dtype=pl.Int64),
            "tag": ["a", None],
            "city": [None, "Ulm"],
            "when": [0, 1],
            "date": [day(1), day(1)],
            "click": [0.0, 1.0],
        }
    )
    schema = FeatureSchema(
        (Number("size"), StringCategory("tag"), IntegerCategory("id"), HashedString("city"))
    )
    columns = Interactions("made", frame, "id", "when", "date", ("click",), schema, {}).columns()
    assert list(columns) == ["size", "tag", "id", "city"]
    assert [column.dtype for column in columns.values()] == [np.float32, object, np.int64, object]
    np.testing.assert_array_equal(columns["size"], [1, np.nan])
    assert columns["id"].tolist() == [3, -1]
    assert columns["tag"].tolist() == ["a", ""]
    assert columns["city"].tolist() == ["", "Ulm"]


def test_a_label_is_no_feature_unless_leaks_are_allowed() -> None:
    schema = FeatureSchema((IntegerCategory("who"), IntegerCategory("click")))
    with pytest.raises(ValueError, match=r"`schema` must be known .* Received: 'click', since"):
        make([1], schema=schema)
    assert make([1], schema=schema, allow_leaks=True).columns()["click"].tolist() == [0]


def test_labels_and_users() -> None:
    data = make([1, 2, 3])
    assert data.labels()["click"].dtype == np.float32
    assert data.labels()["click"].tolist() == [0, 1, 0]
    assert data.user_ids().tolist() == [0, 1, 2]
    assert len(data) == 3


def with_ratings(**changes: object) -> Interactions:
    data = make([1, 2, 3, 4])
    ratings = pl.Series("stars", [None, float("nan"), 2, 5], dtype=pl.Float64)
    return dataclasses.replace(data, **{"frame": data.frame.with_columns(ratings), **changes})


def test_labels_are_the_columns_that_the_tasks_look_at() -> None:
    stars = RegressionTask("rating", label="stars", condition="click")
    data = with_ratings(tasks=("click", BinaryTask("again", label="click"), stars))
    assert data.task_names == ("click", "again", "rating")
    assert data.label_columns == ("click", "stars")
    assert data.event_columns == ("click",)
    labels = data.labels()
    assert labels["stars"].dtype == np.float32
    np.testing.assert_array_equal(labels["stars"], [np.nan, np.nan, 2, 5])
    assert stars.counted(labels).tolist() == [0, 0, 0, 1]


def test_a_label_that_a_task_can_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"task 'stars' must be 0 or 1.*stars\[2\]=2"):
        with_ratings(tasks=("click", "stars")).labels()


def test_the_column_of_a_condition_must_be_there() -> None:
    with pytest.raises(ValueError, match=r"missing=\['seen'\]"):
        with_ratings(tasks=(BinaryTask("click", condition="seen"),))


@pytest.mark.parametrize("changes", [{"user": "nobody"}, {"tasks": ("nothing",)}, {"date": "nowhen"}])
def test_a_column_the_frame_lacks_is_named(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"missing=\['no"):
        make([1], **changes)


def test_keys_need_columns_of_the_frame() -> None:
    with pytest.raises(ValueError, match=r"missing=\['tab'\]"):
        make([1], statistics=(KeyGroup("tab", ("tab",)),))


def test_rows_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="sorted by 'when'"):
        make([1, 1], times=[5, 4])


def test_between_is_inclusive_and_open_where_told() -> None:
    data = make([1, 2, 3, 4])
    assert data.between(day(2), day(3)).user_ids().tolist() == [1, 2]
    assert data.between(None, day(2)).user_ids().tolist() == [0, 1]
    assert data.between(day(4)).user_ids().tolist() == [3]
    assert data.between(day(2)).dates() == (day(2), day(4))


def test_an_empty_range_names_what_was_asked_and_what_there_is() -> None:
    with pytest.raises(ValueError, match="No rows of made") as raised:
        make([1, 2]).between(day(5), day(6))
    for date in ("2022-05-05", "2022-05-06", "2022-05-01", "2022-05-02"):
        assert date in str(raised.value)


def test_split_by_dates() -> None:
    data = make([1, 2, 3, 4, 5])
    parts = split(data, train_until=day(2), test_from=day(4), test_until=day(4))
    assert parts.train.user_ids().tolist() == [0, 1]
    assert parts.test.user_ids().tolist() == [3]
    assert parts.frozen_from == day(4)
    assert parts.description["by"] == "date"
    assert parts.description["train"]["rows"] == 2
    assert parts.description["train"]["last_date"] == "2022-05-02"
    assert parts.description["test"]["first_time_ms"] == 3 * 3_600_000


def test_one_date_is_enough() -> None:
    data = make([1, 2, 3])
    for parts in (split(data, train_until=day(1)), split(data, test_from=day(2))):
        assert parts.train.user_ids().tolist() == [0]
        assert parts.test.user_ids().tolist() == [1, 2]


def test_the_usual_dates_count_once_and_can_be_overruled() -> None:
    data = make([1, 2, 3, 4, 5], split_dates=SplitDates(day(3), day(4), day(4)))
    parts = split(data)
    assert parts.train.user_ids().tolist() == [0, 1, 2]
    assert parts.test.user_ids().tolist() == [3]
    validation = split(parts.train, test_fraction=0.34)
    assert validation.train.user_ids().tolist() == [0]
    assert validation.test.user_ids().tolist() == [1, 2]
    assert split(data, train_until=day(1)).test.user_ids().tolist() == [1, 2, 3, 4]
    assert split(data, test_fraction=0.2).test.user_ids().tolist() == [4]


def test_split_by_fraction_keeps_an_instant_together() -> None:
    data = make([1] * 6, times=[0, 1, 2, 2, 2, 3])
    parts = split(data, test_fraction=0.3)  # the fifth row and on: but the third and fourth are as late
    assert parts.train.user_ids().tolist() == [0, 1]
    assert parts.test.user_ids().tolist() == [2, 3, 4, 5]
    assert parts.description["test_fraction"] == 0.3


def test_a_fraction_is_of_the_rows_by_default_a_fifth() -> None:
    parts = split(make([1] * 10))
    assert [len(parts.train), len(parts.test)] == [8, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_until": day(2), "test_from": day(2)}, "`train_until` must be before `test_from`"),
        ({"test_from": day(1)}, "rows dated 2022-05-01 to 2022-05-03"),
        ({"train_until": day(3)}, "rows dated 2022-05-01 to 2022-05-03"),
        ({"test_until": day(3)}, "`test_until` needs"),
        ({"test_fraction": 1.0}, "test_fraction=1.0"),
        ({"test_fraction": 0.5, "train_until": day(2)}, "not both"),
    ],
)
def test_impossible_splits_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split(make([1, 2, 3]), **arguments)


def test_one_instant_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="no training rows"):
        split(make([1, 1], times=[5, 5]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "a b", "columns": ("x",)}, "name='a b'"),
        ({"name": "a", "columns": ()}, r"columns=\(\)"),
        ({"name": "a", "columns": ("x",), "smoothing": 0.0}, "smoothing=0.0"),
    ],
)
def test_impossible_keys_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeyGroup(**arguments)
