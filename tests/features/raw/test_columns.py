"""Raw columns as they come: prepared, refused by name, and counted."""

import numpy as np
import pytest

from keras_smes.features.schema import (
    FeatureSchema,
    HashedString,
    IntegerCategory,
    Number,
    Sequence,
    StringCategory,
    Tags,
)

SCHEMA = FeatureSchema(
    (
        IntegerCategory("user_id", vocabulary=(7, 9)),
        StringCategory("sex", vocabulary=("f", "m")),
        HashedString("city"),
        Number("age"),
        Tags("genres", items="string", max_length=2),
        Sequence("history", max_length=3),
    )
)
COLUMNS = {
    "user_id": [7, 8, None],
    "sex": ["f", "", "x"],
    "city": ["Oslo", "", "Lima"],
    "age": [np.nan, np.inf, 30.0],
    "genres": [["a", "b", "c"], [], None],
    "history": [[1, 2, 3, 4], [5], [-1, 6, 7]],
}


def test_columns_are_prepared_and_counted_by_hand():
    arrays, counts = SCHEMA.prepare_columns(COLUMNS)
    assert counts == {
        "user_id": {"rows": 3, "missing": 1, "unknown": 1},
        "sex": {"rows": 3, "missing": 1, "unknown": 1},
        "city": {"rows": 3, "missing": 1},
        "age": {"rows": 3, "missing": 1, "infinite": 1},
        "genres": {"rows": 3, "clamped": 0, "empty": 2, "truncated": 1, "missing": 0},
        "history": {"rows": 3, "clamped": 0, "empty": 0, "truncated": 1, "missing": 1},
    }
    assert {name: array.tolist() for name, array in arrays.items() if name != "age"} == {
        "user_id": [7, 8, -1],
        "sex": ["f", "", "x"],
        "city": ["Oslo", "", "Lima"],
        "genres": [["a", "b"], ["", ""], ["", ""]],  # tags keep the first
        "genres_length": [2, 0, 0],
        "history": [[2, 3, 4], [5, 0, 0], [-1, 6, 7]],  # a sequence keeps the newest
        "history_length": [3, 1, 3],
    }
    assert {name: array.dtype for name, array in arrays.items()} == {
        "user_id": np.int64,
        "sex": object,
        "city": object,
        "age": np.float32,
        "genres": object,
        "genres_length": np.int32,
        "history": np.int64,
        "history_length": np.int32,
    }


def test_what_was_prepared_is_prepared_to_the_same():
    arrays, _ = SCHEMA.prepare_columns(COLUMNS)
    again, counts = SCHEMA.prepare_columns(arrays)
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
    assert counts["history"]["truncated"] == 0


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2, 3, 4], [5]],
        [(1, 2, 3, 4), np.array([5])],
        [np.array([1, 2, 3, 4]), [5]],
        np.array([np.array([1, 2, 3, 4], np.uint64), np.array([5], np.uint64)], object),
    ],
)
def test_rows_may_be_lists_tuples_or_arrays(rows):
    schema = FeatureSchema((Sequence("history", max_length=3),))
    arrays, _ = schema.prepare_columns({"history": rows})
    assert arrays["history"].tolist() == [[2, 3, 4], [5, 0, 0]]


def test_integers_beside_floats_are_refused():
    schema = FeatureSchema((Sequence("history"),))
    with pytest.raises(
        ValueError, match=r"'history' takes integers. Received: values of type float64, int64"
    ):
        schema.prepare_columns({"history": [np.array([2**62 + 1]), np.array([5.0])]})


def test_an_empty_row_takes_no_digits_from_large_ids():
    schema = FeatureSchema((Sequence("history", max_length=2),))
    large = 2**62 + 1
    arrays, _ = schema.prepare_columns({"history": [np.array([large]), np.array([])]})
    assert arrays["history"].tolist() == [[large, 0], [0, 0]]


def test_padded_arrays_are_read_within_their_lengths_only():
    schema = FeatureSchema((Sequence("history", vocabulary=(1, 2, 3), max_length=2),))
    padded = np.array([[1, np.nan, 0.5], [1, 2, 3], [9, 9, 9], [3, -np.inf, 0]])
    columns = {"history": padded, "history_length": [1, 7, -4, 1]}
    arrays, counts = schema.prepare_columns(columns)
    assert arrays["history"].tolist() == [[1, 0], [2, 3], [0, 0], [3, 0]]
    assert arrays["history_length"].tolist() == [1, 2, 0, 1]
    expected = {"rows": 4, "clamped": 2, "empty": 1, "truncated": 1, "missing": 0, "unknown": 0}
    assert counts["history"] == expected


def test_no_rows_are_fine():
    arrays, counts = SCHEMA.prepare_columns({name: [] for name in SCHEMA.names})
    assert arrays["history"].shape == (0, 3)
    assert {count["rows"] for count in counts.values()} == {0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"watched": [1, 2, 3]}, r"unknown=\['watched'\]"),
        ({"sex_length": [1, 2, 3]}, r"unknown=\['sex_length'\]"),
        ({"user_id": None}, r"missing=\['user_id'\]"),
        ({"user_id": [7.5, 8.0, 9.0]}, "'user_id' takes integers"),
        ({"user_id": ["7", "8", "9"]}, "'user_id' takes integers"),
        ({"user_id": [7, 8, 2**63]}, "'user_id' takes ids within int64"),
        ({"sex": [1, 2, 3]}, "'sex' takes strings"),
        ({"age": ["30", "31", "32"]}, "'age' takes numbers"),
        ({"age": [30.0, 31.0]}, "'age': 2"),
        ({"age": np.zeros((3, 1))}, r"'age' must have one value per row.*shape \(3, 1\)"),
        ({"history": [[1], [2.5], [3]]}, "'history' takes integers"),
        ({"history": [[1], [2**63], [3]]}, "'history' takes ids within int64"),
        ({"history": [1, 2, 3]}, "'history' takes a list of values per row. Received: 1 at position 0"),
        ({"history": ["12", "3", "4"]}, "Received: '12' at position 0"),
        ({"history": np.ones((3, 2), np.int64)}, "needs 'history_length'.*feature 'history'"),
        ({"history_length": [1, 1, 1]}, "needs 'history_length'.*padded=False, has_length=True"),
        ({"history": np.ones((3, 2), np.int64), "history_length": [1, 1]}, "rows=3, lengths=2"),
        ({"history": np.ones((3, 2), np.int64), "history_length": [1, 1, 0.5]}, "'history_length' takes"),
    ],
)
def test_bad_columns_are_refused_by_name(change, message):
    columns = {name: values for name, values in {**COLUMNS, **change}.items() if values is not None}
    with pytest.raises(ValueError, match=message):
        SCHEMA.check_columns(columns)


def test_fit_refuses_the_same():
    with pytest.raises(ValueError, match="'age' takes numbers"):
        SCHEMA.fit({**COLUMNS, "age": ["30", "31", "32"]})
    assert SCHEMA.fit({**COLUMNS, "is_click": [0, 1, 0]})["age"].mean == 30.0  # labels may lie beside
