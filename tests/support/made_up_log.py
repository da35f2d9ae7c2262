"""A made-up log as a team has it: daily folders, string users, zoned times, tags, outcomes, duplicates."""

import datetime
import textwrap
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

ZONE = ZoneInfo("Asia/Shanghai")
DAYS = [datetime.date(2026, 11, day) for day in (1, 2, 3, 5, 6)]  # the 4th is missing
FEED = """
    name: feed
    files: log/dt=*/part-*.parquet
    user: user_id
    time: ts                                            # a timestamp; or {column: ms, unit: ms}
    time_zone: Asia/Shanghai                            # where a day begins
    unique: [user_id, item_id, ts]                      # rows that repeat these are dropped and counted
    tables:
    - {files: items.parquet, key: item_id}
    tasks:
    - click
    - {kind: regression, name: watch_seconds, label: watch_ms, scale: 0.001, condition: click}
    outcomes: [dwell_ms, share]                         # known only afterwards
    features:
    - {kind: string_category, name: user_id, dim: 16, min_count: 10, side: user}
    - {kind: integer_category, name: item_id, dim: 16, min_count: 5}
    - {kind: tags, name: tags, items: string, max_length: 5}
    - {kind: number, name: price, log: true}
    statistics:
    - {name: item, columns: [item_id]}
    histories:
    - {name: seen, item: item_id, label: click, length: 20, pooling: attention}
    split: {test_days: 2}
    memory: 2GB                                         # above it rows stay on disk
"""


def rows_of_day(day, count=300):
    """Rows of a day in Shanghai, whose first hours are the day before in UTC, out of order."""
    rng = np.random.default_rng(day.toordinal())
    begin = datetime.datetime.combine(day, datetime.time(), ZONE)
    seconds = rng.permutation(24 * 3600)[:count]
    click = rng.random(count) < 0.3
    return pl.DataFrame(
        {
            "user_id": [f"user-{n:02d}" for n in rng.integers(0, 20, count)],
            "item_id": rng.integers(0, 30, count),
            "ts": pl.Series(
                [begin + datetime.timedelta(seconds=int(s)) for s in seconds]
            ).dt.convert_time_zone("America/New_York"),
            "click": click,
            "watch_ms": pl.Series(np.where(click, rng.integers(1, 60_000, count), 0)),
            "dwell_ms": pl.Series(rng.integers(0, 9, count)),
            "share": rng.random(count) < 0.1,
        }
    )


def write_feed(folder):
    """Writes the log with its `feed.yaml`; returns the path of the YAML."""
    for day in DAYS:
        own = folder / "log" / f"dt={day}"
        own.mkdir(parents=True)
        rows = rows_of_day(day)
        rows[:200].write_parquet(own / "part-0.parquet")
        pl.concat([rows[200:], rows[:7]]).write_parquet(own / "part-1.parquet")  # seven rows once more
    items = pl.DataFrame(
        {
            "item_id": range(29),  # of item 29 nothing is known
            "tags": [[f"tag{n % 4}", f"tag{n % 3}"] if n % 5 else None for n in range(29)],
            "price": [float(n) for n in range(29)],
        }
    )
    items.write_parquet(folder / "items.parquet")
    path = folder / "feed.yaml"
    path.write_text(textwrap.dedent(FEED), encoding="utf-8")
    return path
