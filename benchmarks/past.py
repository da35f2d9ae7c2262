"""Statistics and histories: engines compared in memory, and the whole preparing of a log larger than memory.

python benchmarks/past.py engines --rows 2e6 20e6
python benchmarks/past.py prepare --rows 20e6 --memory 2GB
"""

import argparse
import datetime
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ibis
import numpy as np
import polars as pl

KEYS = (["user"], ["item"], ["user", "tab"])
DAYS, LENGTH = 30, 50
YAML = """
name: made
files: log/dt=*/*.parquet
user: user
time: ts
unique: [user, item, ts]
tables:
- {{files: items.parquet, key: item}}
tasks: [click, like]
outcomes: [watch_ms]
features:
- {{kind: integer_category, name: item, dim: 16, min_count: 5}}
- {{kind: integer_category, name: tab, dim: 4}}
- {{kind: number, name: price, log: true}}
statistics:
- {{name: user, columns: [user]}}
- {{name: item, columns: [item]}}
- {{name: user_tab, columns: [user, tab], towards: user}}
histories:
- {{name: seen, item: item, label: click, length: 20}}
split: {{test_days: 2}}
memory: {memory}
"""


def rows_of_day(day: int, rows: int, total: int) -> pl.DataFrame:
    """A day of a log of `total` rows: a user per 100 rows, an item per 400, popular items shown more."""
    rng = np.random.default_rng(day)
    start = datetime.datetime(2026, 11, 1) + datetime.timedelta(days=day)
    ts = pl.Series(rng.integers(0, 86_400_000, rows)) + int(start.timestamp() * 1000)
    return pl.DataFrame(
        {
            "user": rng.integers(0, total // 100, rows),
            "item": (rng.random(rows) ** 3 * (total // 400)).astype(np.int64),
            "tab": rng.integers(0, 5, rows),
            "ts": ts.cast(pl.Datetime("ms")),
            "click": (rng.random(rows) < 0.3).astype(np.int8),
            "like": (rng.random(rows) < 0.05).astype(np.int8),
            "watch_ms": rng.integers(0, 60_000, rows),
        }
    )


def write_log(folder: Path, rows: int, memory: str) -> Path:
    """Writes a log of `DAYS` daily folders with its side table and its YAML."""
    for day in range(DAYS):
        own = folder / "log" / f"dt={day:02d}"
        own.mkdir(parents=True)
        rows_of_day(day, rows // DAYS, rows).write_parquet(own / "part.parquet")
    items = np.arange(rows // 400)
    pl.DataFrame({"item": items, "price": items % 97 * 1.0}).write_parquet(folder / "items.parquet")
    (folder / "log.yaml").write_text(YAML.format(memory=memory))
    return folder / "log.yaml"


def peak_mb() -> float:
    """Peak resident memory of this process since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def forget_peak() -> None:
    """Begins the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


def polars_counts(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """The counts as running sums of polars: what was there before the engine."""
    events = (
        rows.lazy()
        .group_by(*key, pl.col("__known").alias("day"))
        .agg(pl.len().cast(pl.Int64).alias("n"), (pl.col("click", "like") == 1).sum().cast(pl.Int64))
    )
    nothing = [pl.lit(0, pl.Int64).alias(name) for name in ("n", "click", "like")]
    asked = rows.lazy().select(*key, pl.col("__as_of").alias("day")).unique().with_columns(nothing)
    both = (
        pl.concat([events, asked]).group_by(*key, "day").sum().sort(*key, "day").collect(engine="streaming")
    )
    before = pl.col("n", "click", "like").cum_sum().over(key) - pl.col("n", "click", "like")
    return both.with_columns(before)


def count(way: str, rows: pl.DataFrame) -> None:
    """Counts the past of each key in one way."""
    from keras_smes.data.past.engine import compute, sql
    from keras_smes.data.past.statistics import Counting

    for key in KEYS:
        needed = rows.select(*key, "click", "like", "__known", "__as_of")
        if way == "polars":
            polars_counts(needed, key)
        else:
            build = Counting(tuple(key), ("click", "like"), None, 1)
            if way == "duckdb":  # its SQL is there already
                sql(build, needed.schema, "duckdb")
            compute(needed, build)


def run_engines(way: str, rows: int) -> dict[str, object]:
    """Times one way in this process."""
    total = int(rows)
    frame = pl.concat(rows_of_day(day, total // DAYS, total) for day in range(DAYS))
    frame = frame.with_columns(
        pl.col("ts").dt.date().alias("__known"), pl.col("ts").dt.date().alias("__as_of")
    )
    count(way, frame[:1000])
    forget_peak()
    before, start = peak_mb(), time.perf_counter()
    count(way, frame)
    seconds = time.perf_counter() - start
    return {"way": way, "rows": total, "seconds": round(seconds, 2), "more_mb": round(peak_mb() - before)}


def run_prepare(rows: int, memory: str) -> dict[str, object]:
    """Prepares a log on disk in a process of its own: rows, statistics, histories and the fitted schema."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_log(Path(folder), int(rows), memory)
        command = [sys.executable, __file__, "prepare-one", str(path), str(Path(folder) / "cache")]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def prepare_one(path: str, cache: str) -> dict[str, object]:
    """Prepares one log and says what it took."""
    from keras_smes.data import Log, fit_schema, split_with_past, store_log

    result: dict[str, object] = {"memory": Log.read(path).memory}
    start = time.perf_counter()
    stored = store_log(Log.read(path), cache)
    result |= {
        "rows": len(stored),
        "store_s": round(time.perf_counter() - start, 1),
        "store_mb": round(peak_mb()),
    }
    start = time.perf_counter()
    parts = split_with_past(stored, verbose=0)
    result |= {"past_s": round(time.perf_counter() - start, 1), "past_mb": round(peak_mb())}
    start = time.perf_counter()
    fit_schema(parts.train, verbose=0)
    result |= {"schema_s": round(time.perf_counter() - start, 1), "peak_mb": round(peak_mb())}
    return result


def main() -> None:
    """Runs what the command line says and prints a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["engines", "engine-one", "prepare", "prepare-one"])
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--rows", nargs="+", type=float, default=[2e6])
    parser.add_argument("--memory", default="2GB")
    options = parser.parse_args()
    if options.what == "engine-one":
        print(json.dumps(run_engines(options.arguments[0], int(float(options.arguments[1])))))
    elif options.what == "prepare-one":
        print(json.dumps(prepare_one(*options.arguments)))
    else:
        print(f"{platform.processor()}, polars {pl.__version__}, ibis {ibis.__version__}")
        for rows in options.rows:
            if options.what == "prepare":
                print(json.dumps(run_prepare(rows, options.memory)), flush=True)
                continue
            for way in ("polars", "duckdb", "ibis"):
                command = [sys.executable, __file__, "engine-one", way, str(rows)]
                print(
                    subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout,
                    end="",
                    flush=True,
                )


if __name__ == "__main__":
    main()
