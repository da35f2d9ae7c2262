"""A part of stored interactions: one file of rows, with its dates."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from keras_smes.data.column_types import as_day


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
