"""From a declared log to interactions in memory."""

import polars as pl

from keras_smes.data.files.reader import list_files, read_files
from keras_smes.data.interactions import Interactions
from keras_smes.data.log.checks import check_height, check_memory, check_table, check_there
from keras_smes.data.log.declaration import Log
from keras_smes.data.log.steps import TRAINING, Steps, finished_parts, interactions_of, join, without_files
from keras_smes.data.log.times import TIME, with_time


def load_log(log: Log) -> Interactions:
    """Reads the rows of a declared log into memory.

    Args:
        log: The `Log`, such as `Log.read("log.yaml")`.

    Returns:
        The rows in order of time, or of the files where there is none. `counts` has `rows_read`, the
        `duplicates` dropped, and for each side table the rows `without` an entry in it.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file, column or value is not what the log says; names it. Or the rows take more than
            `memory`.

    Example:

    >>> frame = pl.DataFrame({"colour": ["red", "blue"] * 9, "click": [0, 1, 1] * 6})
    >>> frame.write_parquet(folder / "rows.parquet")
    >>> rows = load_log(Log("mine", ("rows.parquet",), (BinaryTask("click"),), folder=folder))
    >>> len(rows), rows.schema.names
    (18, ['colour'])
    """
    return loaded(log, TRAINING)


def loaded(log: Log, steps: Steps) -> Interactions:
    """Returns the rows of a log in memory, by the steps for training or for scoring."""
    counts: dict[str, int] = {}
    frames, dates = finished_parts(_joined(log, steps, counts).lazy(), (), log, steps, counts, None, 0)
    (frame,) = frames
    check_memory(frame, log)
    return interactions_of(log, frame, steps.schema(frame.lazy(), log, dates), counts, dates)


def _joined(log: Log, steps: Steps, counts: dict[str, int]) -> pl.DataFrame:
    """Reads the rows, drops duplicates, joins the side tables and sorts by time."""
    files, test_files = (list_files(paths, log.folder) for paths in (log.files, log.split.test_files))
    rows = without_files(read_files([*files, *test_files], columns=log.columns), log, len(files))
    counts["rows_read"] = check_height(rows.lazy(), files)
    check_there(rows.columns, "unique", log.unique)
    for name, columns in (("identical", steps.identical), ("duplicates", log.unique)):
        if columns:
            height = rows.height
            rows = rows.unique(columns, keep="first", maintain_order=True)
            counts[name] = height - rows.height
    for table in log.tables:
        own = list_files(table.files, log.folder)
        entries = read_files(own, columns=table.columns).lazy()
        rows = join(rows, table, check_table(table, own, entries, rows.schema), counts)
    rows = with_time(rows, log)
    return rows.sort(TIME, maintain_order=True) if TIME in rows.columns else rows
