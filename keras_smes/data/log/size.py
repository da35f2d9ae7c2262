"""Estimates whether a log's rows fit into memory before they are read."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from keras_smes.data.files.reader import list_files, read_files
from keras_smes.data.log.declaration import Log
from keras_smes.data.past.engine import machine_memory

SAMPLE = 10_000


def fits_in_memory(log: Log) -> bool:
    """Returns whether the rows of a log take at most `memory`, or a quarter of the machine's without.

    Args:
        log: The `Log`.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: The largest file can't be read.
    """
    memory = machine_memory() // 4 if log.memory is None else log.memory
    return estimated_bytes(log) <= memory


def estimated_bytes(log: Log) -> int:
    """Returns about how many bytes the rows of a log take in memory, its side tables joined.

    Rows are as wide as the first ones of the largest file; of text there are as many as those take on disk.

    Args:
        log: The `Log`.
    """
    files = list_files([*log.files, *log.split.test_files], log.folder)
    width = _width(files) + sum(_width(list_files(table.files, log.folder)) for table in log.tables)
    return int(_rows(files) * width)


def _width(files: Sequence[Path]) -> float:
    """Bytes of a row in memory."""
    sample = read_files([_largest(files)], SAMPLE)
    return sample.estimated_size() / max(sample.height, 1)


def _largest(files: Sequence[Path]) -> Path:
    return max(files, key=lambda file: file.stat().st_size)


def _rows(files: Sequence[Path]) -> float:
    """How many rows there are: Parquet says so, of text it is as many as its bytes make."""
    text = [file for file in files if not file.name.endswith((".parquet", ".pq"))]
    parquet = [pl.scan_parquet(str(file)).select(pl.len()) for file in files if file not in text]
    rows = sum(counted.item() for counted in pl.collect_all(parquet))
    if text:
        sample = read_files([_largest(text)], SAMPLE)
        row_bytes = len(sample.write_csv().encode()) / max(sample.height, 1)
        rows += sum(file.stat().st_size * _unpacked(file) for file in text) / max(row_bytes, 1.0)
    return float(rows)


def _unpacked(file: Path) -> float:
    """About how many times as large a file is unpacked."""
    return 8.0 if file.suffix in (".gz", ".zst", ".zstd") else 1.0
