"""Which feature `auto` chooses for a column of numbers."""

import datetime

import polars as pl
import pytest

from keras_smes import IntegerCategory, Number
from keras_smes.data import Log, load_log
from keras_smes.data.log.auto import choose_features
from keras_smes.data.log.declaration import Table
from keras_smes.data.roles import History, KeyGroup
from keras_smes.tasks import BinaryTask


@pytest.mark.parametrize(
    ("values", "in_buckets"),
    [
        ([0.0] * 95 + [100.0] * 5, True),  # 100 is 20 times the mean
        ([1.5, 2.5, 3.5, 4.5], False),
        ([-1.0] + [0.0] * 94 + [100.0] * 5, False),  # an amount is not negative
    ],
)
def test_amounts_of_which_a_few_are_large_are_in_buckets(values, in_buckets):
    (number,) = choose_features([pl.Series("x", values)])
    assert (number.buckets is not None) == in_buckets


@pytest.mark.parametrize(
    ("declared", "is_category"),
    [
        ({}, False),
        ({"tables": (Table(("items.csv",), ("item",)),)}, True),
        ({"statistics": (KeyGroup("item", ("item",)),)}, True),
        ({"histories": (History("seen", item="item", label="click", length=2),), "user": "who"}, True),
    ],
)
def test_what_a_log_declares_as_a_key_is_a_category(tmp_path, declared, is_category):
    """Else an integer of more than 100 values that is called `item` is a quantity."""
    times = [datetime.datetime(2026, 11, 1) + datetime.timedelta(hours=hour) for hour in range(200)]
    rows = {"at": times, "item": range(200), "who": ["a", "b"] * 100, "click": [0, 1, 1, 0] * 50}
    pl.DataFrame(rows).write_parquet(tmp_path / "rows.parquet")
    pl.DataFrame({"item": range(200), "price": range(200)}).write_csv(tmp_path / "items.csv")
    log = Log("mine", ("rows.parquet",), (BinaryTask("click"),), time="at", folder=tmp_path, **declared)
    kinds = {feature.name: type(feature) for feature in load_log(log).schema.features}
    assert kinds["item"] is (IntegerCategory if is_category else Number)
    assert kinds.get("price", Number) is Number


def load_with(folder, names):
    """Reads rows with further columns of such names."""
    header, row = ",".join(["click", *names]), ",".join(["{0}"] * (1 + len(names)))
    lines = [header, *(row.format(value) for value in [0, 1, 1, 0, 1, 0])]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return load_log(Log("mine", ("rows.csv",), (BinaryTask("click"),), folder=folder))


def test_the_index_that_pandas_writes_is_no_feature(tmp_path):
    assert load_with(tmp_path, ["", "price"]).schema.names == ["price"]


def test_columns_that_no_tensor_can_be_named_after_are_named(tmp_path):
    message = r"rename columns, or list them in `ignore`. Received: \['unit price', '2nd'\]"
    with pytest.raises(ValueError, match=message):
        load_with(tmp_path, ["unit price", "price", "2nd"])


def test_files_of_other_columns_are_named_where_each_column_is_a_feature(tmp_path):
    load_with(tmp_path, ["price"])
    (tmp_path / "more.csv").write_text("click,prise\n0,1\n")
    message = r"rows\.csv must have the columns of .*more\.csv. Received: differing=\['price', 'prise'\]"
    with pytest.raises(ValueError, match=message):
        load_log(Log("mine", ("*.csv",), (BinaryTask("click"),), folder=tmp_path))
