"""Delimited files with declared columns: a value of another type raises with its row."""

import csv
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import polars as pl

from keras_smes.validation import check_one_of

_LINE = "__line"
_SHOWN = 200  # characters of polars' own message


def _integer(text: pl.Expr) -> pl.Expr:
    # A column with gaps that once was a pandas one has its integers written as 1.0. Digits stay digits: a
    # float would make neighbours beyond 2**53 one; what only a float can read, such as 1e3, must be below.
    digits = text.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
    number = text.cast(pl.Float64, strict=False)
    whole = (number.floor() == number) & (number.abs() < 2**53)
    return pl.coalesce(digits, pl.when(whole).then(number.cast(pl.Int64, strict=False)))


def _label(text: pl.Expr) -> pl.Expr:
    number = text.cast(pl.Float64, strict=False)
    return pl.when(number.is_in([0.0, 1.0])).then(number.cast(pl.Int8, strict=False))


def _date(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all("-", "", literal=True).str.to_date("%Y%m%d", strict=False)


# What a column may hold: how an error calls it, and a parser that gives null for all else.
_KINDS: Mapping[str, tuple[str, Callable[[pl.Expr], pl.Expr]]] = {
    "integer": ("an int64 integer", _integer),
    "number": ("a number", lambda text: text.cast(pl.Float64, strict=False)),
    "string": ("a string", lambda text: text),
    "label": ("0 or 1", _label),
    "date": ("a date as 20220504 or 2022-05-04", _date),
}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column that a file must have.

    Args:
        name: Its name in the header.
        kind: `"integer"`, `"number"`, `"string"`, `"label"` (0 or 1) or `"date"`.
        optional: Whether a value may be empty, which reads as null. Defaults to `False`.
    """

    name: str
    kind: str
    optional: bool = False

    def __post_init__(self) -> None:
        check_one_of("kind", self.kind, sorted(_KINDS))

    def parsed(self) -> pl.Expr:
        """Returns the values of the column, null where there is none or it is not of the kind."""
        return _KINDS[self.kind][1](self._text()).alias(self.name)

    def first_bad_line(self) -> pl.Expr:
        """Returns the first line whose value the column must not hold, or null."""
        bad = self.parsed().is_null()
        if self.optional:
            bad &= self._text().is_not_null()
        return pl.col(_LINE).filter(bad).min().alias(self.name)

    def _text(self) -> pl.Expr:
        # `,,` reads as null but `,"",` as an empty string: to us both are an empty value.
        return pl.when(pl.col(self.name) != "").then(pl.col(self.name))


def scan_table(
    path: str | Path, columns: Sequence[Column], separator: str = ",", quote: str | None = '"'
) -> pl.LazyFrame:
    """Checks the declared columns of a delimited file with a header; others are left out.

    Args:
        path: The file.
        columns: What to read.
        separator: What stands between values. Defaults to `","`.
        quote: What encloses values that hold a separator; `None` if nothing does. Defaults to `'"'`.

    Returns:
        The declared columns, in their order and the file's order of rows, not yet read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a value is missing or wrong; names the file, the column and
            the row, counted from the header, which is row 1.

    Example:

    >>> log = scan_table("log.csv", [Column("user_id", "integer"), Column("is_click", "label")]).collect()
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No such file: {path}")
    _check_header(path, columns, separator, quote)
    text = pl.scan_csv(
        path,
        separator=separator,
        quote_char=quote,
        infer_schema=False,
        row_index_name=_LINE,
        row_index_offset=2,
    )
    every_column = pl.QueryOptFlags(projection_pushdown=False)  # else rows of too many values pass unseen
    try:
        found = text.select(column.first_bad_line() for column in columns).collect(
            engine="streaming", optimizations=every_column
        )
    except pl.exceptions.PolarsError as error:
        explain_malformed(path, separator, quote, error)
    bad = [(line, column) for line, column in zip(found.row(0), columns, strict=True) if line is not None]
    if bad:
        _reject_value(path, text, *min(bad, key=lambda pair: pair[0]))
    return text.select(column.parsed() for column in columns)


def _fields(line: bytes, separator: str, quote: str | None) -> list[str]:
    text = line.decode("utf-8-sig")
    if quote is None:
        return text.rstrip("\r\n").split(separator)
    return next(csv.reader([text], delimiter=separator, quotechar=quote), [])


def _check_header(path: Path, columns: Sequence[Column], separator: str, quote: str | None) -> None:
    with path.open("rb") as file:
        header = _fields(file.readline(), separator, quote)
    for column in columns:
        if header.count(column.name) != 1:
            raise ValueError(
                f"{path}, row 1: must have one column {column.name!r}. Received: columns={header}"
            )


def explain_malformed(path: Path, separator: str, quote: str | None, error: Exception) -> NoReturn:
    """Raises a `ValueError` that names the first row that is no row of the table, as polars' own doesn't."""
    with path.open("rb") as file:
        width = len(_fields(file.readline(), separator, quote))
        for row, line in enumerate(file, start=2):
            try:
                received = len(_fields(line, separator, quote))
            except UnicodeDecodeError as undecodable:
                raise ValueError(f"{path}, row {row}: must be UTF-8. Received: {line!r}") from undecodable
            if received > width:
                raise ValueError(
                    f"{path}, row {row}: must have {width} columns. Received: {received} values"
                ) from error
    said = " ".join(str(error).split())[:_SHOWN]  # polars quotes all of the rest of the file
    raise ValueError(f"{path} must be a table separated by {separator!r}. Received: {said}") from error


def _reject_value(path: Path, text: pl.LazyFrame, line: int, column: Column) -> NoReturn:
    value = text.filter(pl.col(_LINE) == line).select(column.name).collect().item()
    raise ValueError(
        f"{path}, column {column.name!r}, row {line}: must be {_KINDS[column.kind][0]}. "
        f"Received: {repr(value) if value else 'nothing'}"
    )
