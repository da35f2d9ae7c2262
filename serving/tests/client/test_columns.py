from __future__ import annotations

import re

import numpy as np
import pytest

from keras_smes_serving.client.inputs import SignatureSpec, TensorSpec, as_columns, rows_to_columns
from keras_smes_serving.client.request_bytes import request_bytes
from keras_smes_serving.protocol import messages

SPEC = SignatureSpec(
    inputs={
        "user": TensorSpec("int64", (None,)),
        "age": TensorSpec("uint8", (None,), optional=True),
        "city": TensorSpec("string", (None,)),
        "dense": TensorSpec("float32", (None, 2)),
    },
    outputs={"click": TensorSpec("float32", (None,))},
)
ROW = {"user": 7, "city": "oslo", "dense": [1, 2.5]}


def one(dtype: str, shape: tuple[int | None, ...] | None = (None,)) -> SignatureSpec:
    return SignatureSpec({"x": TensorSpec(dtype, shape)}, {})


def test_lists_get_the_dtypes_of_the_model():
    columns = as_columns({"user": [1, 2], "city": ["a", b"b"], "dense": [[1, 2], [3, 4.5]]}, SPEC)
    assert {name: column.dtype for name, column in columns.items()} == {
        "user": np.int64,
        "city": object,
        "dense": np.float32,
    }
    assert columns["city"].tolist() == ["a", b"b"]


@pytest.mark.parametrize(
    "value",
    [
        [2**53 + 1, -(2**63), 2**63 - 1],
        np.array([2**53 + 1, -(2**63), 2**63 - 1]),
        np.array([2**53 + 1, -(2**63), 2**63 - 1], object),
        [np.int64(2**53 + 1), np.int64(-(2**63)), 2**63 - 1],
    ],
)
def test_integers_never_pass_through_floats(value):
    assert as_columns({"x": value}, one("int64"))["x"].tolist() == [2**53 + 1, -(2**63), 2**63 - 1]


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        ("int64", [1, 2.5], "must be int64. Received: x[1]=2.5 (float)"),
        ("int64", [1, 2.0], "must be int64. Received: x[1]=2.0 (float)"),
        ("int64", np.array([1.0]), "must be int64. Received: x[0]=1.0 (float)"),
        ("int64", [1, None], "must be int64. Received: x[1]=None (NoneType)"),
        ("int64", ["7"], "must be int64. Received: x[0]='7' (str)"),
        ("int64", [True], "must be int64. Received: x[0]=True (bool)"),
        ("int64", [1, 2**63], f"must be int64. Received: x[1]={2**63} (int)"),
        ("int64", [-1, 2**63], f"must be int64. Received: x[1]={2**63} (int)"),
        ("int64", [2**70], f"must be int64. Received: x[0]={2**70} (int)"),
        ("int32", [0, -(2**31) - 1], f"must be int32. Received: x[1]={-(2**31) - 1} (int)"),
        ("uint8", [255, -1], "must be uint8. Received: x[1]=-1 (int)"),
        ("float32", [1.0, "a"], "must be float32. Received: x[1]='a' (str)"),
        ("float32", [1.0, 1e39], "must be float32. Received: x[1]=1e+39 (float)"),
        ("float32", [False], "must be float32. Received: x[0]=False (bool)"),
        ("float32", [1j], "must be float32. Received: x[0]=1j (complex)"),
        ("string", ["a", 1], "must be string. Received: x[1]=1 (int)"),
        ("string", [["a"], ["b", "c"]], "must be string. Received: x[0]=['a'] (list)"),
        ("bool", [True, 1], "must be bool. Received: x[1]=1 (int)"),
        ("int64", [[1], [2, 3]], "must be rows of one shape. Received: [[1], [2, 3]]"),
        ("int64", 7, "must have the shape (any). Received: ()"),
        ("int64", [[1, 2]], "must have the shape (any). Received: (1, 2)"),
        ("string", "oslo", "must have the shape (any). Received: ()"),
    ],
)
def test_a_value_that_does_not_fit_is_named(dtype, value, text):
    with pytest.raises(ValueError, match=f"^{re.escape(f'Feature `x` {text}')}$"):
        as_columns({"x": value}, one(dtype))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float32", [1, 2.5, float("inf")]),
        ("float32", np.array([1, 2], "int64")),
        ("bfloat16", [1.0, 2.0]),
        ("float16", [1.0, np.inf]),
        ("bool", [True, False]),
        ("string", np.array(["a", "b"])),
        ("string", np.array([b"a", b"b"])),
        ("int64", np.array([1, 2], "uint8")),
        ("int64", []),
        ("string", []),
    ],
)
def test_values_that_lose_nothing_pass(dtype, value):
    column = as_columns({"x": value}, one(dtype))["x"]
    assert column.dtype == (object if dtype == "string" else dtype)
    np.testing.assert_array_equal(column.astype(object), np.asarray(value, object))


def test_nan_is_a_float():
    assert np.isnan(as_columns({"x": [1.0, float("nan")]}, one("float32"))["x"]).tolist() == [False, True]


def test_a_column_of_one_may_be_flat():
    columns = as_columns({"x": [1, 2, 3]}, one("int64", (None, 1)))
    assert columns["x"].tolist() == [[1], [2], [3]]


def test_a_shape_that_is_not_known_is_not_checked():
    assert as_columns({"x": [[1, 2]]}, one("int64", None))["x"].shape == (1, 2)


def test_sizes_that_are_fixed_are_checked():
    with pytest.raises(ValueError, match=r"`dense` must have the shape \(any, 2\). Received: \(1, 3\)"):
        as_columns({**{name: [value] for name, value in ROW.items()}, "dense": [[1, 2, 3]]}, SPEC)


def test_rows_must_agree_except_where_the_model_fixes_their_number():
    with pytest.raises(ValueError, match=r"same number of rows. Received: user=2, city=1, dense=1"):
        as_columns({"user": [1, 2], "city": ["a"], "dense": [[1, 2]]}, SPEC)
    spec = SignatureSpec({"user": TensorSpec("int64", (1,)), "item": TensorSpec("int64", (None,))}, {})
    assert len(as_columns({"user": [7], "item": [1, 2, 3]}, spec)["item"]) == 3


def test_unknown_and_missing_features_are_named():
    with pytest.raises(
        ValueError, match=r"must hold features of the model: user, age, city, dense. Received: `usr`"
    ):
        as_columns({"usr": [1]}, SPEC)
    with pytest.raises(ValueError, match=r"`inputs` lacks the feature `city`. Received: user"):
        as_columns({"user": [1]}, SPEC)
    with pytest.raises(ValueError, match=r"`inputs` lacks the feature `user`. Received: no feature"):
        as_columns({}, SPEC)


def test_rows_become_columns():
    columns = rows_to_columns([ROW, {**ROW, "user": 2**53 + 1}], SPEC)
    assert columns["user"].tolist() == [7, 2**53 + 1]
    assert columns["dense"].shape == (2, 2)
    assert "age" not in columns


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"city": None}, r"Feature `city` must be string. Received: city\[1\]=None"),
        ({"user": 1.5}, r"Feature `user` must be int64. Received: user\[1\]=1.5"),
        ({"colour": 1}, r"`rows\[1\]` must hold features of the model: .* Received: `colour`"),
    ],
)
def test_rows_name_the_row_and_the_feature(change, text):
    with pytest.raises(ValueError, match=text):
        rows_to_columns([ROW, {**ROW, **change}], SPEC)


def test_a_row_without_a_feature_is_named():
    with pytest.raises(ValueError, match=r"`rows\[2\]` lacks the feature `city`"):
        rows_to_columns([ROW, ROW, {"user": 1, "dense": [1, 2]}], SPEC)
    with pytest.raises(ValueError, match=r"`rows\[0\]` lacks the feature `age`"):
        rows_to_columns([ROW, {**ROW, "age": 30}], SPEC)


@pytest.mark.parametrize("cities", [["oslo", "rome"], (b"oslo", np.str_("rome")), np.array(["oslo", "rome"])])
def test_strings_of_any_kind(cities):
    column = as_columns({"x": cities}, one("string"))["x"]
    request = messages.PredictRequest.FromString(request_bytes(messages.PredictRequest(), {"x": column}))
    assert list(request.inputs["x"].string_val) == [b"oslo", b"rome"]


@pytest.mark.parametrize("tags", [[["a", "b"], ["c", ""]], np.array([["a", "b"], ["c", ""]])])
def test_tags(tags):
    column = as_columns({"x": tags}, one("string", (None, None)))["x"]
    assert column.tolist() == [["a", "b"], ["c", ""]]


def test_half_a_character_names_the_feature():
    columns = as_columns({"x": ["a", "\ud800"]}, one("string"))
    with pytest.raises(ValueError, match=r"Feature `x` must be text of UTF-8. Received: '\\ud800'"):
        request_bytes(messages.PredictRequest(), columns)


def test_lengths_may_be_any_integers():
    for lengths in ([3, 5], np.array([3, 5]), np.array([3, 5], "uint64"), np.array([3, 5], object)):
        column = as_columns({"x": lengths}, one("int32"))["x"]
        assert column.dtype == np.int32
        assert column.tolist() == [3, 5]
    with pytest.raises(ValueError, match=r"Feature `x` must be int32. Received: x\[1\]=2147483648"):
        as_columns({"x": np.array([0, 2**31])}, one("int32"))
