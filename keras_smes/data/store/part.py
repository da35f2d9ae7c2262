"""Parts of stored interactions: one file of rows each, with its dates; written, and opened, in one way."""

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from keras_smes.data.column_types import as_day
from keras_smes.data.store.cache import cached

FORMAT = 1  # of the files; another number makes them anew
ROWS = "rows"  # folder of the parts
PART_ROWS = 200_000
ROW_GROUP = 100_000


@dataclasses.dataclass(frozen=True)
class Part:
    """One file of rows.

    Args:
        name: Its name, the same in every layer.
        rows: How many rows have each date; by `None` how many there are, where rows have no dates.
    """

    name: str
    rows: Mapping[datetime.date | None, int]

    def __post_init__(self) -> None:
        days: dict[datetime.date | None, int] = {}
        for moment, count in self.rows.items():
            day = None if moment is None else as_day("rows", moment)
            days[day] = days.get(day, 0) + count
        object.__setattr__(self, "rows", days)

    def __len__(self) -> int:
        return sum(self.rows.values())

    @classmethod
    def of(cls, name: str, rows: pl.DataFrame | pl.LazyFrame, date: str | None) -> "Part":
        """Returns the part of rows whose days are in the column `date`; `None` if they have none."""
        day = pl.lit(None) if date is None else pl.col(date)
        return cls(name, dict(rows.lazy().group_by(day.alias("day")).len().sort("day").collect().rows()))

    def to_config(self) -> dict[str, Any]:
        """Returns the part as JSON values."""
        days = {"" if day is None else day.isoformat(): count for day, count in self.rows.items()}
        return {"name": self.name, "rows": days}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Part":
        """Returns the part that `to_config` wrote."""
        dated = {day: datetime.date.fromisoformat(day) for day in config["rows"] if day}
        days = {dated.get(day): count for day, count in config["rows"].items()}
        return cls(config["name"], days)


def write_parts(out: Path, frames: Iterable[pl.DataFrame], date: str | None) -> dict[str, Any]:
    """Writes each frame as a part into the folder `ROWS` of `out`; a frame at a time is in memory.

    Args:
        out: A folder that `cached_parts` gives.
        frames: The rows, in order.
        date: Column of their day. `None`: they have none.

    Returns:
        The parts, as `cached_parts` takes them.
    """
    (out / ROWS).mkdir()
    parts = []
    for number, rows in enumerate(frames):
        name = f"{number:06d}.parquet"
        rows.write_parquet(out / ROWS / name, row_group_size=ROW_GROUP)
        parts.append(Part.of(name, rows, date).to_config())
    return {"parts": parts}


def cached_parts(
    parent: Path, name: str, recipe: Mapping[str, Any], build: Callable[[Path], Mapping[str, Any]]
) -> tuple[Path, tuple[Part, ...], dict[str, Any]]:
    """Returns a folder of parts as `cached` does, the parts, and what else `build` returned.

    Args:
        parent: As for `cached`.
        name: As for `cached`.
        recipe: As for `cached`.
        build: As for `cached`; what it returns has the values of `write_parts`.
    """
    made, values = cached(parent, name, {"format": FORMAT, **recipe}, build)
    return made, tuple(map(Part.from_config, values.pop("parts"))), values
