"""Engines that evaluate expressions over rows: DuckDB, in memory or from files larger than memory.

Ibis only compiles the expressions to SQL; the engine's own client runs it. Whatever else reads and writes
Parquet and has a dialect there, as `keras_smes.data.past.spark`, is an engine too.
"""

import dataclasses
import glob
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb
import ibis
import polars as pl
from ibis.expr.types import Table

from keras_smes.data.store.part import ROW_GROUP

# From the rows to what is computed from them; equal ones compile to one query.
Build = Callable[[Table], Table]
# From tables by name to what is made of them.
Combine = Callable[[Mapping[str, Table]], Table]
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
ROWS = "past_rows"
_LEAST = 256_000_000


class Engine(Protocol):
    """Evaluates an expression over files."""

    def write(self, rows: Path, build: Build, out: Path) -> None:
        """Writes what an expression makes of rows.

        Args:
            rows: Folder of the rows, Parquet files.
            build: From the table of the rows to the table of the result.
            out: Folder of the result, which isn't there yet; gets Parquet files.
        """


@dataclasses.dataclass(frozen=True)
class DuckDB:
    """DuckDB within this process, which keeps on disk what is beyond its memory.

    Args:
        memory: Bytes that it may take, at least 256 MB. Defaults to `None`, a quarter of the machine's.
    """

    memory: int | None = None

    def write(self, rows: Path, build: Build, out: Path) -> None:
        """As for `Engine`; beside `out` is a folder of what doesn't fit into memory meanwhile."""
        self._run(sql(build, _schema(rows), "duckdb"), {ROWS: rows}, out)

    def combine(
        self, folders: Mapping[str, Path], build: Callable[[Mapping[str, Table]], Table], out: Path
    ) -> None:
        """Writes what an expression makes of several tables, in its order, as one file.

        Args:
            folders: The folder of each table, Parquet files, by its name.
            build: From the tables by name to the result.
            out: As for `write`.
        """
        tables = {name: _table(_schema(folder), name) for name, folder in folders.items()}
        self._run(str(ibis.to_sql(build(tables), dialect="duckdb")), folders, out)

    def _run(self, query: str, folders: Mapping[str, Path], out: Path) -> None:
        out.mkdir(parents=True)
        with duckdb.connect(config=self.options(out.parent / "spill")) as connection:
            for name, folder in folders.items():
                connection.read_parquet(f"{glob.escape(str(folder))}/*.parquet").create_view(name)
            connection.sql(query).write_parquet(str(out / "0.parquet"), row_group_size=ROW_GROUP)

    @classmethod
    def within(cls, memory: int | None) -> "DuckDB":
        """Returns DuckDB with half of the memory that a whole step may take, rows of a part included."""
        return cls(None if memory is None else memory // 2)

    def options(self, spill: Path) -> dict[str, Any]:
        """Returns the options of a connection that keeps in a folder what is beyond its memory."""
        memory = machine_memory() // 4 if self.memory is None else self.memory
        return {
            "memory_limit": f"{max(memory, _LEAST)}B",
            "temp_directory": str(spill),
            "preserve_insertion_order": False,
        }


def compute(rows: pl.DataFrame, build: Build, memory: int | None = None) -> pl.DataFrame:
    """Returns what an expression makes of rows in memory, in no order; columns keep their types.

    Beside the rows it takes half of `memory` at most, and then the disk.

    Args:
        rows: The rows, with the columns that the expression needs.
        build: From the table of the rows to the table of the result.
        memory: Bytes. Defaults to `None`: a quarter of the machine's instead of the half.
    """
    known = plain(rows)
    spill = Path(tempfile.gettempdir(), f"keras_smes-{uuid.uuid4().hex}")  # made only if it is needed
    with duckdb.connect(config=DuckDB.within(memory).options(spill)) as connection:
        connection.register(ROWS, _Stream(known))
        found = pl.DataFrame(connection.sql(sql(build, known.schema, "duckdb")))
    return restored(found, rows.schema)


def restored(rows: Frame, types: Mapping[str, pl.DataType]) -> Frame:
    """Returns rows that came from an engine with columns of the types that they had before `plain`."""
    return rows.with_columns(
        pl.lit(None).alias(name) if types[name] == pl.Null else pl.col(name).cast(types[name])
        for name in rows.collect_schema().names()
        if name in types
    )


def sql(build: Build, schema: pl.Schema, dialect: str) -> str:
    """Returns the query over a table `ROWS` with the columns of `schema`."""
    return _sql(build, tuple(schema.items()), dialect)


@lru_cache(maxsize=256)  # of a few rows, compiling takes longer than running
def _sql(build: Build, columns: tuple[tuple[str, pl.DataType], ...], dialect: str) -> str:
    return str(ibis.to_sql(build(_table(pl.Schema(columns), ROWS)), dialect=dialect))


def _table(schema: pl.Schema, name: str) -> Table:
    return ibis.table(ibis.Schema.from_polars(schema), name=name)


def _schema(folder: Path) -> pl.Schema:
    return pl.scan_parquet(str(folder / "*.parquet")).collect_schema()


def plain(rows: Frame) -> Frame:
    """Returns rows with columns of types that every engine has, in which equal values stay equal."""
    kinds = {pl.Categorical: pl.String, pl.Enum: pl.String, pl.Null: pl.Boolean, pl.Int128: pl.String}
    kinds[pl.Duration] = pl.Int64
    types = rows.collect_schema()
    return rows.cast(
        {name: kinds[own.base_type()] for name, own in types.items() if own.base_type() in kinds}
    )


def machine_memory() -> int:
    """Returns how many bytes of memory the machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class _Stream:
    """Rows as what DuckDB reads without pyarrow: it takes that for a frame of polars."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.__arrow_c_stream__(requested_schema)
