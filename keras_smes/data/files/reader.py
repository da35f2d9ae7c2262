"""Reads the files of a log: Parquet and delimited text, with the columns that folders are named after.

Types are those of all files together. Text is read as it stands and typed at the end by every value of a
column, so that no file decides for another: codes with leading zeros stay text, and ids keep each digit.
"""

import contextlib
import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from keras_smes.data.files.csv_reader import Column, explain_malformed, scan_table
from keras_smes.data.files.object_store import is_url, list_objects
from keras_smes.data.files.text import forms_of_text

PARQUET, COMMA, TAB = (".parquet", ".pq"), (".csv",), (".tsv", ".tab")
PACKED = (".gz", ".zst", ".zstd")
_FIRST_INEXACT = 2**53
_SEPARATORS, _NO_SEPARATOR = (",", "\t", ";", "|"), "\x01"
# Column of the place of a row's file among those that were read.
FILE = "__file"


def list_files(paths: Sequence[str], folder: Path) -> list[Path]:
    """Returns the files of paths, globs and folders, sorted, each once.

    Args:
        paths: What is declared: paths, globs, folders, or URLs of these in an object store.
        folder: What relative paths start from.

    Raises:
        FileNotFoundError: A path has no file.
        ImportError, ValueError: As for `list_objects`.
    """
    found: list[Path] = []
    for path in paths:
        own = list_objects(path, _kind) if is_url(path) else _local(folder / path)
        if not own:
            where = path if is_url(path) else folder / path
            raise FileNotFoundError(f"`files` must name files that are there. Received: {where}")
        found += own
    return list(dict.fromkeys(found))


def _local(whole: Path) -> list[Path]:
    if whole.is_dir():
        return [file for file in sorted(whole.rglob("*")) if file.is_file() and _kind(file)]
    return [Path(name) for name in sorted(glob.glob(str(whole), recursive=True))]


def read_files(
    files: Sequence[Path], limit: int | None = None, columns: Sequence[Column] = ()
) -> pl.DataFrame:
    """Reads files one under the other, in their order, with `FILE`.

    Args:
        files: Of one kind, or several.
        limit: Rows of each file that are read, the first. Defaults to `None`, all.
        columns: What is read of delimited text, typed as declared. Defaults to `()`, all, by their values.

    Raises:
        ValueError: A file can't be read, or its columns are not those of the first, or a column has a type
            that can't be one with that of other files; names file, column and row where there is one.
    """
    return pl.concat(pl.collect_all(scan_files(files, None, columns, limit)))


def scan_files(
    files: Sequence[Path], scratch: Path | None, columns: Sequence[Column] = (), limit: int | None = None
) -> list[pl.LazyFrame]:
    """Returns the rows of each file as `read_files` does, not yet read, for files larger than memory.

    Args:
        files: As for `read_files`.
        scratch: Folder where text is kept as Parquet while the rows are needed. `None`: rows are in memory.
        columns: As for `read_files`.
        limit: As for `read_files`.

    Raises:
        ValueError: As for `read_files`.
    """
    copies = [None if scratch is None else scratch / f"{place}.parquet" for place in range(len(files))]
    parts = [_scan(file, copy, columns, limit) for file, copy in zip(files, copies, strict=True)]
    parts = parts if columns else _of_one_type(parts, files)
    return [part.with_columns(pl.lit(place, pl.UInt32).alias(FILE)) for place, part in enumerate(parts)]


def first_row(file: Path) -> int:
    """Returns the number of a file's first row: that of text is 2, below the header."""
    return 0 if _kind(file) == "parquet" else 2


def _kind(file: Path) -> str | None:
    name = file.name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    kinds = {"parquet": PARQUET, ",": COMMA, "\t": TAB}
    return next((kind for kind, endings in kinds.items() if name.endswith(endings)), None)


def _scan(file: Path, copy: Path | None, columns: Sequence[Column], limit: int | None) -> pl.LazyFrame:
    kind = _checked_kind(file)
    if columns and (kind == "parquet" or file.name.lower().endswith(PACKED)):
        raise ValueError(f"`columns` are of files that end in {[*COMMA, *TAB]}. Received: {file}")
    with _explaining(file, kind):
        if kind == "parquet":
            read = pl.read_parquet if copy is None else pl.scan_parquet
            rows = read(str(file), n_rows=limit, hive_partitioning=False).lazy()
        elif columns:
            rows = _kept(scan_table(file, columns, kind), copy)
        else:
            _check_shape(file, kind, limit)
            rows = _kept(pl.scan_csv(str(file), separator=kind, n_rows=limit, infer_schema=False), copy)
        names = rows.collect_schema().names()
    return rows if columns else rows.with_columns(_of_folders(file, names))


def _kept(rows: pl.LazyFrame, copy: Path | None) -> pl.LazyFrame:
    """Returns rows that are parsed once: in memory, or in a copy."""
    if copy is None:
        return rows.collect().lazy()
    rows.sink_parquet(copy, compression="lz4")
    return pl.scan_parquet(copy)


def _checked_kind(file: Path) -> str:
    kind = _kind(file)
    if kind is None:
        endings = [*PARQUET, *COMMA, *TAB]
        raise ValueError(
            f"A file of a log must end in one of {endings}, or so and {PACKED}. Received: {file}"
        )
    if file.stat().st_size == 0:
        raise ValueError(f"A file of a log must not be empty. Received: {file} of 0 bytes")
    return kind


@contextlib.contextmanager
def _explaining(file: Path, kind: str) -> Iterator[None]:
    """Names the file that can't be read, and the row where it is text."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        if kind != "parquet" and not file.name.lower().endswith(PACKED):
            explain_malformed(file, kind, '"', error)
        raise ValueError(f"{file} can't be read: {error}") from error


def _check_shape(file: Path, separator: str, limit: int | None = None) -> None:
    """Stops at text whose header isn't one of a table, or with a row that lacks values, as a cut one does."""
    first = pl.read_csv(str(file), separator=separator, has_header=False, n_rows=1, infer_schema=False)
    header = [name or "" for name in first.row(0)]
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise ValueError(f"{file}, row 1: must name each column once. Received: {repeated} again")
    if others := [mark for mark in _SEPARATORS if len(header) == 1 and mark in header[0]]:
        raise ValueError(
            f"{file}, row 1: must be separated by {separator!r}. Received: {header[0]!r}, separated by "
            f"{others[0]!r}"
        )
    row = _first_short_row(file, separator, len(header) - 1, limit)
    if row is not None:
        raise ValueError(f"{file}, row {row}: must have {len(header)} columns. Received: fewer values")


def _first_short_row(file: Path, separator: str, marks: int, limit: int | None) -> int | None:
    """The first row of too few separators, which polars fills with nulls; row 1 is the header.

    Rows with quotes are left out, and files of values that span rows.
    """
    rows = None if limit is None else limit + 1
    lines = pl.scan_csv(
        str(file), separator=_NO_SEPARATOR, quote_char=None, has_header=False, infer_schema=False, n_rows=rows
    )
    line, quotes = pl.nth(0).fill_null(""), pl.nth(0).str.count_matches('"', literal=True)
    is_short = (quotes.fill_null(0) == 0) & (line.str.count_matches(separator, literal=True) < marks)
    spans = (quotes % 2 == 1).any().alias("spans")
    found = lines.select(is_short.arg_max().alias("row"), is_short.any().alias("any"), spans)
    row, is_any, is_spanning = found.collect(engine="streaming").row(0)
    return row + 1 if is_any and not is_spanning else None


def _of_folders(file: Path, columns: Iterable[str]) -> list[pl.Expr]:
    """The columns that folders say, as `dt=2026-11-01`, but for those that the file itself has."""
    pairs = [part.split("=", 1) for part in file.parts[:-1] if "=" in part]
    return [pl.lit(value).alias(name) for name, value in pairs if name and name not in columns]


def _of_one_type(parts: Sequence[pl.LazyFrame], files: Sequence[Path]) -> list[pl.LazyFrame]:
    """Returns the rows of each file, with columns in the order of the first and of one type each."""
    names = parts[0].collect_schema().names()
    for file, part in zip(files, parts, strict=True):
        if differing := sorted(set(part.collect_schema()) ^ set(names)):
            raise ValueError(f"{file} must have the columns of {files[0]}. Received: differing={differing}")
    for name in names:
        _check_types(name, parts, files)
    stacked = pl.concat([part.select(names) for part in parts], how="vertical_relaxed")
    types = stacked.collect_schema()
    casts = [pl.col(name).cast(dtype) for name, dtype in types.items()]
    forms = forms_of_text(stacked, [name for name, dtype in types.items() if dtype == pl.String])
    return [part.select(casts).with_columns(*forms) for part in parts]


def _check_types(name: str, parts: Sequence[pl.LazyFrame], files: Sequence[Path]) -> None:
    """Stops where types of a column can't be one, or only by losing digits."""
    types = [part.collect_schema()[name] for part in parts]
    known = [(place, dtype) for place, dtype in enumerate(types) if dtype != pl.Null]
    for place, dtype in known:
        first, usual = known[0]
        if dtype != usual and not (dtype.is_numeric() and usual.is_numeric()):
            values = parts[place].select(pl.col(name).drop_nulls().head(1)).collect()[name]
            raise ValueError(
                f"{files[place]}, column {name!r}: must be {usual}, as in {files[first]}. "
                f"Received: {dtype}, such as {values.to_list()}"
            )
    if any(dtype.is_float() for _, dtype in known):
        for place, dtype in known:
            if dtype.is_integer():
                _check_exact(name, parts[place], files[place])


def _check_exact(name: str, part: pl.LazyFrame, file: Path) -> None:
    value = pl.col(name)
    large = part.select(pl.int_range(pl.len()).alias("row"), value).filter(
        value.cast(pl.Int128).abs() >= _FIRST_INEXACT
    )
    for row, received in large.head(1).collect().rows():
        raise ValueError(
            f"{file}, column {name!r}, row {row}: must be within 2**53, as other files have floats. "
            f"Received: {received}"
        )


def days_of_digits(values: pl.Series) -> pl.Series | None:
    """Returns the days of whole numbers such as 20260504, `None` if they aren't such."""
    if not values.dtype.is_integer() or not values.len():
        return None
    days = values.cast(pl.String).str.to_date("%Y%m%d", strict=False)
    known = values.is_between(19_000_101, 99_991_231).fill_null(True).all()
    return days if known and days.null_count() == values.null_count() else None
