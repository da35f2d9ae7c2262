"""Files of a declared log: text is typed by all its values, and a file that is no good is named."""

import dataclasses
import datetime
import gzip

import polars as pl
import pytest
from support.made_up_log import DAYS, rows_of_day

from keras_smes.data import Column, Log, Table, TimeColumn, load_log, store_log
from keras_smes.data.log import checks
from keras_smes.features.schema import Number
from keras_smes.tasks import BinaryTask

CSV = (
    "user,code,when,score,click,flag\r\n"
    "7,007,2026-11-01T10:00:00Z,0.5,1,true\r\n"
    ",08,2026-11-02T11:30:00Z,,0,FALSE\r\n"
)


def write(folder, name, text):
    data = text.encode("utf-8-sig")
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def of_csv(folder, files="*.csv*", **others):
    given = {"folder": folder, "time": TimeColumn("when"), "features": (Number("score"),), **others}
    return load_log(Log("csv", (files,), (BinaryTask("click"),), **given))


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.tsv"])
def test_text_is_typed_by_all_of_its_values(name, tmp_path):
    text = CSV.replace(",", "\t") if name.endswith("tsv") else CSV
    write(tmp_path, name, text)  # with a byte order mark and CRLF
    frame = of_csv(tmp_path, name, user="user", split={"test_fraction": 0.5}).frame
    assert frame["user"].to_list() == [7, None]
    assert frame["code"].to_list() == ["007", "08"], "leading zeros stay"
    assert frame["score"].to_list() == [0.5, None]
    assert frame["flag"].to_list() == [True, False]
    assert frame["__date"].to_list() == [datetime.date(2026, 11, 1), datetime.date(2026, 11, 2)]


def test_no_file_decides_the_type_of_another(tmp_path):
    write(tmp_path, "a.csv", CSV)
    write(tmp_path, "b.csv", CSV.replace("007", "X7").replace("11-0", "12-0"))
    assert of_csv(tmp_path, split={"test_days": 1}).frame["code"].to_list() == ["007", "08", "X7", "08"]


def test_ids_keep_each_digit(tmp_path):
    for user in (2**53 + 1, 2**63 - 1, 2**64 - 1, "18446744073709551616"):
        write(tmp_path, "a.csv", CSV.replace("\n7,", f"\n{user},"))
        assert of_csv(tmp_path, user="user", split={"test_days": 1}).frame["user"].to_list() == [user, None]


def broken(folder, what):
    if what == "truncated":
        rows_of_day(DAYS[0]).write_parquet(folder / "b.parquet")
        (folder / "b.parquet").write_bytes((folder / "b.parquet").read_bytes()[:-100])
    elif what == "empty":
        (folder / "b.parquet").touch()
    elif what == "other columns":
        rows_of_day(DAYS[0]).drop("share").write_parquet(folder / "b.parquet")
    elif what == "other type":
        rows_of_day(DAYS[0]).with_columns(pl.col("item_id").cast(pl.String)).write_parquet(
            folder / "b.parquet"
        )
    elif what == "floats beside large ids":
        rows = rows_of_day(DAYS[0]).with_columns(pl.col("item_id") + 2**60)
        rows.write_parquet(folder / "a.parquet")
        rows_of_day(DAYS[1]).with_columns(pl.col("item_id").cast(float)).write_parquet(folder / "b.parquet")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("truncated", r"b\.parquet can't be read"),
        ("empty", r"must not be empty. Received: .*b\.parquet"),
        (
            "other columns",
            r"b\.parquet must have the columns of .*a\.parquet. Received: differing=\['share'\]",
        ),
        ("other type", r"b\.parquet, column 'item_id': must be Int64.* Received: String, such as \['\d+'\]"),
        ("floats beside large ids", r"a\.parquet, column 'item_id', row 0: must be within 2\*\*53"),
    ],
)
def test_a_file_that_is_no_good_is_named(what, message, tmp_path):
    rows_of_day(DAYS[0]).write_parquet(tmp_path / "a.parquet")
    broken(tmp_path, what)
    with pytest.raises(ValueError, match=message):
        load_log(Log("log", ("*.parquet",), (BinaryTask("click"),), folder=tmp_path))


def test_a_row_of_too_many_values_is_named(tmp_path):
    write(tmp_path, "a.csv", CSV + "1,2,2026-11-03T00:00:00Z,4,5,6,7\r\n")
    with pytest.raises(ValueError, match=r"a\.csv, row 4: must have 6 columns. Received: 7 values"):
        of_csv(tmp_path)


def test_no_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Received: .*nowhere"):
        load_log(Log("log", ("nowhere/*.csv",), (BinaryTask("click"),), folder=tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CSV[:-20], r"a\.csv, row 3: must have 6 columns. Received: fewer values"),
        (CSV.replace("\r\n,08", "\r\n\r\n,08"), r"a\.csv, row 3: must have 6 columns"),
        (CSV.replace("score", "code"), r"a\.csv, row 1: must name each column once. Received: \['code'\]"),
        (CSV.replace(",", ";"), r"a\.csv, row 1: must be separated by ','. .* separated by ';'"),
        (CSV.replace("007", '"007'), r"a\.csv must be a table separated by ','. Received: .{1,200}$"),
    ],
)
def test_text_that_is_no_table_is_named(text, message, tmp_path):
    write(tmp_path, "a.csv", text)
    for read in (load_log, lambda log: store_log(log, tmp_path / "cache")):
        with pytest.raises(ValueError, match=message):
            read(Log("csv", ("a.csv",), (BinaryTask("click"),), folder=tmp_path))


def test_values_may_span_rows(tmp_path):
    write(tmp_path, "a.csv", CSV.replace("007", '"first\nsecond\nthird"'))
    assert of_csv(tmp_path, split={"test_days": 1}).frame["code"].to_list() == ["first\nsecond\nthird", "08"]


def test_duplicates_are_counted_and_the_first_is_kept(tmp_path):
    """Those in all columns, and those in some; also of columns whose types are declared."""
    write(tmp_path, "a.csv", "a,b,click\n1,5,0\n2,6,1\n1,5,0\n1,7,0\n")
    columns = tuple(Column(name, "integer") for name in ("a", "b", "click"))
    for typed in ((), columns):
        for unique, kept in ((("a", "b", "click"), [(1, 5), (2, 6), (1, 7)]), (("a",), [(1, 5), (2, 6)])):
            rows = of_csv(tmp_path, time=None, features=(Number("b"),), unique=unique, columns=typed)
            assert rows.frame.select("a", "b").rows() == kept
            assert rows.counts["duplicates"] == 4 - len(kept)


def test_declared_columns_are_typed_and_others_left_out(tmp_path):
    write(tmp_path, "a.tsv", CSV.replace(",", "\t"))
    columns = (
        Column("user", "string", optional=True),
        Column("click", "label"),
        Column("score", "number", True),
    )
    log = Log("tsv", ("a.tsv",), (BinaryTask("click"),), folder=tmp_path, columns=columns)
    for rows in (load_log(log), store_log(log, tmp_path / "cache").read()):
        assert rows.frame.drop("__test").rows() == [("7", 1, 0.5), (None, 0, None)]
        assert rows.frame["click"].dtype == pl.Int8
    write(tmp_path, "a.tsv", CSV.replace(",1,", ",2,").replace(",", "\t"))
    for read in (load_log, lambda log: store_log(log, tmp_path / "cache")):
        with pytest.raises(ValueError, match=r"a\.tsv, column 'click', row 2: must be 0 or 1. Received: '2'"):
            read(log)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv.gz"])
def test_columns_are_declared_of_text_alone(name, tmp_path):
    (tmp_path / name).write_bytes(b"any")
    log = Log("log", (name,), (BinaryTask("click"),), folder=tmp_path, columns=(Column("click", "label"),))
    with pytest.raises(ValueError, match=rf"`columns` are of files that end in \['.csv'.*Received: .*{name}"):
        load_log(log)


def test_a_key_in_two_rows_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "KEYS_AT_A_TIME", 2)
    write(tmp_path, "log.csv", "id,click\n4,0\n5,1\n")
    write(tmp_path, "users-1.csv", "id,age\n4,30\n5,30\n")
    write(tmp_path, "users-2.csv", "id,age\n6,30\n4,30\n")
    log = Log("log", ("log.csv",), (BinaryTask("click"),), folder=tmp_path, features=(Number("age"),))
    twice, once = (Table((files,), ("id",)) for files in ("users-*.csv", "users-1.csv"))
    for read in (load_log, lambda log: store_log(log, tmp_path / "cache")):
        with pytest.raises(
            ValueError, match=r"users-2\.csv, row 3: must have each key \['id'\] .* \(4,\) again"
        ):
            read(dataclasses.replace(log, tables=(twice,)))
        assert len(read(dataclasses.replace(log, tables=(once,)))) == 2
