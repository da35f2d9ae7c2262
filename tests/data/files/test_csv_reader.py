import datetime
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from keras_smes.data.files.csv_reader import Column, scan_table

COLUMNS = (
    Column("user", "integer"),
    Column("code", "integer", optional=True),
    Column("price", "number", optional=True),
    Column("city", "string", optional=True),
    Column("day", "date"),
    Column("bought", "label"),
)
HEADER = "extra,bought,user,code,price,city,day"
GOOD = "x,1,7,1.0,2.5,Ulm,20220504"


def read_table(path: Path, columns: Sequence[Column]) -> pl.DataFrame:
    return scan_table(path, columns).collect(engine="streaming")


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "log.csv"
    path.write_bytes("\n".join((header, *lines, "")).encode("latin-1"))
    return path


def test_reads_the_declared_columns_with_their_types(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, 'x,0.0,9223372036854775807,,,"a,b",2022-05-05', 'x,1,-3,"",,"",20220506')
    frame = read_table(path, COLUMNS)
    assert frame.columns == [column.name for column in COLUMNS]
    assert frame.rows() == [
        (7, 1, 2.5, "Ulm", datetime.date(2022, 5, 4), 1),
        (2**63 - 1, None, None, "a,b", datetime.date(2022, 5, 5), 0),
        (-3, None, None, None, datetime.date(2022, 5, 6), 1),
    ]
    assert frame.schema["bought"] == pl.Int8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9007199254740993.0", 2**53 + 1),
        ("-9007199254740993.000", -(2**53) - 1),
        ("9223372036854775807.0", 2**63 - 1),
        ("9223372036854775808.0", None),
        ("7.", 7),
        ("1e3", 1000),
        ("1.5e1", 15),
        ("9.007199254740993e15", None),  # a float is all that reads it, and none holds it
        ("6.5", None),
        ("6.50", None),
        ("10", 10),
        (".0", 0),
    ],
)
def test_integers_keep_each_digit(tmp_path: Path, text: str, expected: int | None) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"id\n{text}\n", encoding="utf-8")
    if expected is None:
        with pytest.raises(
            ValueError, match=rf"row 2: must be an int64 integer. Received: '{re.escape(text)}'"
        ):
            read_table(path, [Column("id", "integer")])
    else:
        assert read_table(path, [Column("id", "integer")])["id"].to_list() == [expected]


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xef\xbb\xbfuser,bought\r\n1,0\r\n2,1\r\n")
    frame = read_table(path, [Column("user", "integer"), Column("bought", "label")])
    assert frame.rows() == [(1, 0), (2, 1)]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        read_table(tmp_path / "nowhere.csv", COLUMNS)


@pytest.mark.parametrize("header", ["extra,bought,user,code,price,city", "", HEADER + ",day"])
def test_a_column_missing_or_there_twice_is_named(tmp_path: Path, header: str) -> None:
    with pytest.raises(ValueError, match=r"log\.csv, row 1: must have one column '(day|user)'. Received:"):
        read_table(write(tmp_path, header=header), COLUMNS)


@pytest.mark.parametrize(
    ("line", "column", "received"),
    [
        ("x,2,7,1,2.5,Ulm,20220504", "bought", "'2'"),
        ("x,0.5,7,1,2.5,Ulm,20220504", "bought", "'0.5'"),
        ("x,nan,7,1,2.5,Ulm,20220504", "bought", "'nan'"),
        ("x,,7,1,2.5,Ulm,20220504", "bought", "nothing"),
        ("x,1,seven,1,2.5,Ulm,20220504", "user", "'seven'"),
        ("x,1,,1,2.5,Ulm,20220504", "user", "nothing"),
        ("x,1,9223372036854775808,1,2.5,Ulm,20220504", "user", "'9223372036854775808'"),
        ("x,1,7,1.5,2.5,Ulm,20220504", "code", "'1.5'"),
        ("x,1,7,1,cheap,Ulm,20220504", "price", "'cheap'"),
        ("x,1,7,1,2.5,Ulm,20220532", "day", "'20220532'"),
        ("x,1,7", "day", "nothing"),
    ],
)
def test_a_wrong_value_is_named_by_file_column_and_row(
    tmp_path: Path, line: str, column: str, received: str
) -> None:
    path = write(tmp_path, GOOD, GOOD, line, GOOD, line)
    message = rf"{re.escape(str(path))}, column '{column}', row 4: must be .* Received: {received}$"
    with pytest.raises(ValueError, match=message):
        read_table(path, COLUMNS)


def test_the_earliest_wrong_row_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, "x,3,7,1,2.5,Ulm,20220504", "x,1,seven,1,2.5,Ulm,20220504")
    with pytest.raises(ValueError, match="column 'bought', row 3"):
        read_table(path, COLUMNS)


def test_a_row_of_too_many_values_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"log\.csv, row 3: must have 7 columns. Received: 8 values"):
        read_table(write(tmp_path, GOOD, GOOD + ",more"), COLUMNS)


def test_a_row_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"log\.csv, row 3: must be UTF-8"):
        read_table(write(tmp_path, GOOD, GOOD.replace("Ulm", "Köln")), COLUMNS)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="Received: kind='float'"):
        Column("x", "float")
