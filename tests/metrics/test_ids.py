"""Distinct users stay distinct, in whatever type their ids come; rows without a user are counted apart."""

import datetime
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from keras_smes.data import Interactions
from keras_smes.features.schema import FeatureSchema, IntegerCategory
from keras_smes.metrics import GAUC, GXAUC, NDCG, gauc, gxauc, ndcg
from keras_smes.metrics.ids import as_ids

ROWS, BIG = 400, 10**18  # float64 holds every 128th integer there
LABELS = np.arange(ROWS) // 3 % 2
SCORES = np.sin(np.arange(ROWS))
USERS = [BIG + row % 20 for row in range(ROWS)]


def gauc_by_hand(users):
    """From the definition, over pairs, in exact fractions; rows of `None` are left out."""
    total, weight, used = Fraction(0), 0, 0
    for user in {user for user in users if user is not None}:
        rows = [row for row in range(len(users)) if users[row] == user]
        positive, negative = ([row for row in rows if LABELS[row] == y] for y in (1, 0))
        if positive and negative:
            won = sum(
                Fraction(1 if SCORES[p] > SCORES[n] else 0) + Fraction(int(SCORES[p] == SCORES[n]), 2)
                for p in positive
                for n in negative
            )
            total += len(rows) * won / (len(positive) * len(negative))
            weight, used = weight + len(rows), used + 1
    return float(total / weight), used, weight


def with_null(ids):
    return [None, *ids[1:]]


FORMS = {
    "int64": np.array(USERS),
    "a list": USERS,
    "a list with a null": with_null(USERS),
    "objects": np.array(USERS, object),
    "objects with a null": np.array(with_null(USERS), object),
    "objects with NaN": np.array([float("nan"), *USERS[1:]], object),
    "uint64": np.array([user + 2**63 for user in USERS], np.uint64),
    "beyond int64, and below 0": [user + 2**63 if user % 2 else -user for user in USERS],
    "polars": pl.Series(USERS),
    "polars with a null": pl.Series(with_null(USERS)),
    "polars of strings with a null": pl.Series(with_null([str(user) for user in USERS])),
    "masked": np.ma.masked_array(USERS, [True] + [False] * (ROWS - 1)),
    "strings": np.array([str(user) for user in USERS]),
    "strings with a null": with_null([str(user) for user in USERS]),
    "strings with NaN": [float("nan"), *(str(user) for user in USERS[1:])],
    "bytes": [str(user).encode() for user in USERS],
    "integers and strings of the same digits": [str(user) if user % 2 else user for user in USERS],
    "whole floats": np.array([float(user - BIG) for user in USERS]),
    "whole floats with NaN": np.array([np.nan, *(float(user - BIG) for user in USERS[1:])]),
}


@pytest.mark.parametrize("form", FORMS)
def test_users_stay_distinct(form):
    null = "ull" in form or "NaN" in form or form == "masked"
    value, used, rows = gauc_by_hand(with_null(USERS) if null else USERS)
    found = gauc(LABELS, SCORES, FORMS[form])
    assert found.value == pytest.approx(value, abs=1e-14)
    assert (found.users_used, found.rows_used, found.rows_without_user) == (used, rows, int(null))
    for function in (gxauc, ndcg):
        one = function(LABELS, SCORES, FORMS[form])
        assert (one.users_used, one.rows_without_user) == (20, int(null))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("metric", [GAUC, GXAUC, NDCG])
def test_users_stay_distinct_in_batches_of_other_types(metric, form):
    users = FORMS[form] if isinstance(FORMS[form], np.ndarray) else list(FORMS[form])
    streamed, other = metric(), metric()
    for start in range(0, ROWS, 37):
        taken = other if start % 2 else streamed
        part = slice(start, start + 37)
        taken.update_state(LABELS[part], SCORES[part], users=users[part])
    streamed.merge_state([other])
    whole = metric()
    whole.update_state(LABELS, SCORES, users=users)
    assert streamed.details() == whole.details()
    assert whole.details().users_used == 20


def test_batches_of_int64_and_uint64_and_nulls_are_of_the_same_users():
    metric = GAUC()
    parts = [slice(start, start + 100) for start in range(0, ROWS, 100)]
    makes = (np.array, lambda ids: np.array(ids, np.uint64), with_null, lambda ids: np.array(ids, object))
    for part, make in zip(parts, makes, strict=True):
        metric.update_state(LABELS[part], SCORES[part], users=make(USERS[part]))
    expected = [None if row == 200 else user for row, user in enumerate(USERS)]
    value, used, rows = gauc_by_hand(expected)
    found = metric.details()
    assert found.value == pytest.approx(value, abs=1e-14)
    assert (found.users_used, found.rows_used, found.rows_without_user) == (used, rows, 1)


def test_neighbours_beyond_what_floats_hold_stay_apart_across_types():
    """Two users with one class each, and so without an AUC: as floats they are one user with both."""
    metric = GAUC()
    metric.update_state([1, 0], [0.9, 0.1], users=np.array([2**53, 2**53 + 1]))
    metric.update_state([1, 0], [0.9, 0.1], users=np.array([2**53, 2**53 + 1], np.uint64))
    metric.update_state([1, 1], [0.9, 0.1], users=np.array([2**64 - 1, 2**64 - 2], np.uint64))
    assert metric.details().users_left_out == 4
    assert metric.details().users_used == 0


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ([1, 6.5], r"`users` must be integers or strings.*users\[1\]=6.5"),
        (np.array([1.0, 6.5]), r"users\[1\]=np.float64\(6.5\)"),
        (np.array([1.0, 2.0**53]), r"users\[1\]=np.float64\(9007199254740992.0\)"),
        (np.array([1.0, 2.0**24], np.float32), r"users\[1\]=np.float32"),
        ([1, float("inf")], r"users\[1\]=inf"),
        ([1, [2]], r"users\[1\]=\[2\]"),
    ],
)
def test_ids_that_floats_may_have_merged_are_rejected(users, message):
    with pytest.raises(ValueError, match=message):
        as_ids("users", users if isinstance(users, np.ndarray) else np.fromiter(users, object, 2))


def test_all_users_unknown_is_no_user():
    found = gauc([1, 0], [0.9, 0.1], [None, None])
    assert np.isnan(found.value)
    assert (found.users_used, found.users_left_out, found.rows_without_user) == (0, 0, 2)


@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("text", [True, False])
def test_users_of_a_log_stay_distinct(text, null):
    users = [str(user) for user in USERS] if text else USERS
    frame = pl.DataFrame(
        {
            "user": with_null(users) if null else users,
            "item": np.arange(ROWS) % 7,
            "click": LABELS,
            "ms": np.arange(ROWS),
            "day": [datetime.date(2026, 1, 1)] * ROWS,
        }
    )
    schema = FeatureSchema((IntegerCategory("item"),))
    rows = Interactions("mine", frame, "user", "ms", "day", ("click",), schema, {})
    value, used, counted = gauc_by_hand(with_null(USERS) if null else USERS)
    found = gauc(rows.labels()["click"], SCORES, rows.user_ids())
    assert found.value == pytest.approx(value, abs=1e-14)
    assert (found.users_used, found.rows_used, found.rows_without_user) == (used, counted, int(null))


def test_one_long_name_takes_no_room_in_other_rows():
    """NumPy's own strings would take 4 * 100,000 bytes in each of 100,000 rows: 37 GiB."""
    users = [f"user {row % 50}" for row in range(100_000)]
    users[7] = "x" * 100_000
    labels, scores = np.arange(100_000) // 50 % 2, np.arange(100_000) % 7
    metric = GAUC()
    metric.update_state(labels[:50_000], scores[:50_000], users=users[:50_000])
    metric.update_state(labels[50_000:], scores[50_000:], users=np.array(users[50_000:]))
    assert metric.details() == gauc(labels, scores, users)
    assert (metric.details().users_used, metric.details().users_left_out) == (50, 1)
