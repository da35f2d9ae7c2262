"""Spark as the engine of the past, for logs that outgrow one machine.

Needs the extra `spark` and a Java runtime.
"""

import dataclasses
from pathlib import Path
from typing import Any

import ibis
import polars as pl

from keras_smes.data.past.engine import ROWS, Build, sql


@dataclasses.dataclass(frozen=True)
class Spark:
    """A session of Spark, which reads and writes the same folders as this process does.

    Args:
        session: A `pyspark.sql.SparkSession`.

    Example:

    ```python
    session = SparkSession.builder.master("local[*]").getOrCreate()
    stored = store_past(stored, engine=Spark(session))
    ```
    """

    session: Any

    def write(self, rows: Path, build: Build, out: Path) -> None:
        """As for `keras_smes.data.past.engine.Engine`."""
        _ = ibis.pyspark  # loads the backend, which registers the options of its dialect
        schema = pl.scan_parquet(str(rows / "*.parquet")).collect_schema()
        self.session.read.parquet(str(rows)).createOrReplaceTempView(ROWS)
        self.session.sql(sql(build, schema, "pyspark")).write.parquet(str(out))
