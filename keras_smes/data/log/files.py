"""Reads the files of a log: Parquet and delimited text, with the columns that folders are named after.

Types are those of all files together. Text is read as it stands and typed at the end by every value of a
column, so that no file decides for another: codes with leading zeros stay text, and ids keep each digit.
"""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from keras_smes.data.tables import explain_malformed

PARQUET, COMMA, TAB = (".parquet", ".pq"), (".csv",), (".tsv", ".tab")
PACKED = (".gz", ".zst", ".zstd")
_INTEGER = r"^-?(0|[1-9][0-9]*)$"
_FIRST_INEXACT = 2**53
# Column of the place of a row's file among those that were read.
FILE = "__file"


def list_files(paths: Sequence[str], folder: Path) -> list[Path]:
    """Returns the files of paths, globs and folders, sorted, each once.

    Args:
        paths: What is declared.
        folder: What relative paths start from.

    Raises:
        FileNotFoundError: A path has no file.
    """
    found: list[Path] = []
    for path in paths:
        whole = folder / path
        if whole.is_dir():
            own = [file for file in sorted(whole.rglob("*")) if file.is_file() and _kind(file)]
        else:
            own = [Path(name) for name in sorted(glob.glob(str(whole), recursive=True))]
        if not own:
            raise FileNotFoundError(f"`files` must name files that are there. Received: {whole}")
        found += own
    return list(dict.fromkeys(found))


def read_files(files: Sequence[Path], limit: int | None = None) -> pl.DataFrame:
    """Reads files one under the other, in their order, with `FILE`.

    Args:
        files: Of one kind, or several.
        limit: Rows of each file that are read, the first. Defaults to `None`, all.

    Raises:
        ValueError: A file can't be read, or its columns are not those of the first, or a column has a type
            that can't be one with that of other files; names file, column and row where there is one.
    """
    parts = [_read(file, limit) for file in files]
    frame = _typed(_stacked(parts, files))
    rows = [part.height for part in parts]
    places = pl.Series(FILE, np.repeat(np.arange(len(files)), rows), pl.UInt32)
    return frame.with_columns(places)


def _kind(file: Path) -> str | None:
    name = file.name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    kinds = {"parquet": PARQUET, ",": COMMA, "\t": TAB}
    return next((kind for kind, endings in kinds.items() if name.endswith(endings)), None)


def _read(file: Path, limit: int | None) -> pl.DataFrame:
    kind = _kind(file)
    if kind is None:
        endings = [*PARQUET, *COMMA, *TAB]
        raise ValueError(
            f"A file of a log must end in one of {endings}, or so and {PACKED}. Received: {file}"
        )
    if file.stat().st_size == 0:
        raise ValueError(f"A file of a log must not be empty. Received: {file} of 0 bytes")
    try:
        if kind == "parquet":
            frame = pl.read_parquet(file, n_rows=limit, hive_partitioning=False)
        else:
            frame = pl.read_csv(file, separator=kind, n_rows=limit, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        if kind != "parquet" and not file.name.lower().endswith(PACKED):
            explain_malformed(file, kind, '"', error)
        raise ValueError(f"{file} can't be read: {error}") from error
    return frame.with_columns(pl.lit(value).alias(name) for name, value in _of_folders(file, frame.columns))


def _of_folders(file: Path, columns: Iterable[str]) -> list[tuple[str, str]]:
    """The columns that folders say, as `dt=2026-11-01`, but for those that the file itself has."""
    pairs = [part.split("=", 1) for part in file.parts[:-1] if "=" in part]
    return [(name, value) for name, value in pairs if name and name not in columns]


def _stacked(parts: Sequence[pl.DataFrame], files: Sequence[Path]) -> pl.DataFrame:
    first = parts[0]
    for file, part in zip(files, parts, strict=True):
        if differing := sorted(set(part.columns) ^ set(first.columns)):
            raise ValueError(f"{file} must have the columns of {files[0]}. Received: differing={differing}")
    for name in first.columns:
        _check_types(name, parts, files)
    return pl.concat([part.select(first.columns) for part in parts], how="vertical_relaxed")


def _check_types(name: str, parts: Sequence[pl.DataFrame], files: Sequence[Path]) -> None:
    """Stops where types of a column can't be one, or only by losing digits."""
    known = [
        (file, part[name]) for file, part in zip(files, parts, strict=True) if part[name].dtype != pl.Null
    ]
    if not known:
        return
    (usual, values), *others = known
    for file, own in others:
        same = own.dtype == values.dtype or (own.dtype.is_numeric() and values.dtype.is_numeric())
        if not same:
            raise ValueError(
                f"{file}, column {name!r}: must be {values.dtype}, as in {usual}. Received: {own.dtype}, "
                f"such as {own.drop_nulls().head(1).to_list()}"
            )
    if any(own.dtype.is_float() for _, own in known):
        for file, own in known:
            large = own.dtype.is_integer() and own.cast(pl.Int128).abs() >= _FIRST_INEXACT
            if isinstance(large, pl.Series) and large.any():
                row = int(large.arg_max() or 0)
                raise ValueError(
                    f"{file}, column {name!r}, row {row}: must be within 2**53, as other files have floats. "
                    f"Received: {own[row]}"
                )


def days_of_digits(values: pl.Series) -> pl.Series | None:
    """Returns the days of whole numbers such as 20260504, `None` if they aren't such."""
    if not values.dtype.is_integer() or not values.len():
        return None
    days = values.cast(pl.String).str.to_date("%Y%m%d", strict=False)
    known = values.is_between(19_000_101, 99_991_231).fill_null(True).all()
    return days if known and days.null_count() == values.null_count() else None


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Gives columns of text the type that all of their values have."""
    text = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    return frame.with_columns(_of_text(frame[name]) for name in text)


def _of_text(values: pl.Series) -> pl.Series:
    values = values.set(values == "", None) if (values == "").any() else values
    known = values.drop_nulls()
    if known.is_empty():
        return values
    if known.str.contains(_INTEGER).all():  # beyond 64 bits they stay text: a float would merge neighbours
        whole = (values.cast(dtype, strict=False) for dtype in (pl.Int64, pl.UInt64))
        return next((own for own in whole if own.null_count() == values.null_count()), values)
    if known.str.contains(r"^(?i)(true|false)$").all():
        return values.str.to_lowercase() == "true"
    if not known.str.contains(r"^-?0[0-9]").any():
        numbers = values.cast(pl.Float64, strict=False)
        if numbers.null_count() == values.null_count():
            return numbers
    return _of_moments(values, known)


def _of_moments(values: pl.Series, known: pl.Series) -> pl.Series:
    """Days and timestamps in the forms of ISO 8601; other text stays text."""
    if known.str.contains(r"^\d{4}-\d{2}-\d{2}$").all():
        days = values.str.to_date("%Y-%m-%d", strict=False)
        return days if days.null_count() == values.null_count() else values
    if not known.str.contains(r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}").all():
        return values
    zoned = known.str.contains(r"(Z|[+-]\d{2}:?\d{2})$")
    if zoned.any() and not zoned.all():
        return values
    plain = values.str.replace(" ", "T", literal=True)
    moments = plain.str.to_datetime(time_unit="us", time_zone="UTC" if zoned.all() else None, strict=False)
    return moments if moments.null_count() == values.null_count() else values
