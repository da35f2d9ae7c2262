"""Declared roles of a log beside its columns: keys of statistics, histories, dates of the split."""

import dataclasses
import datetime

from keras_smes.data.column_types import as_day_or_none
from keras_smes.features.schema import check_name
from keras_smes.validation import check_count


@dataclasses.dataclass(frozen=True)
class KeyGroup:
    """A combination of columns whose past is counted, such as a user in a tab.

    Args:
        name: Prefix of the statistics' names: `user_tab` gives `user_tab_impressions`.
        columns: The columns whose values together are one key; a null is a value of its own.
        smoothing: How many impressions the prior rate weighs. Defaults to `20.0`.
        towards: Name of an earlier group whose rate is the prior, as `user` for `user_tab`. `None`,
            the default, takes the rate of all rows of the same past.
    """

    name: str
    columns: tuple[str, ...]
    smoothing: float = 20.0
    towards: str | None = None

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if not self.columns:
            raise ValueError(f"`columns` must not be empty. Received: columns={self.columns}")
        if not self.smoothing > 0:
            raise ValueError(f"`smoothing` must be positive. Received: smoothing={self.smoothing}")


@dataclasses.dataclass(frozen=True)
class History:
    """A behaviour sequence per row: the items of the user's latest earlier rows with a positive label.

    Args:
        name: Name of the feature that it gives, such as `history_video_id`.
        item: Column of the items, a category of the schema, whose embedding table the history shares.
        label: Label column, 0 or 1: only rows where it is 1 count.
        length: Most items a row has; the latest are kept, the newest last. Defaults to `50`.
        pooling: `"mean"`, `"sum"`, or `"attention"` from the row's own item. Defaults to `"mean"`.
    """

    name: str
    item: str
    label: str
    length: int = 50
    pooling: str = "mean"

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_count("length", self.length)


@dataclasses.dataclass(frozen=True)
class SplitDates:
    """The dates at which a data set is usually cut, all of them inclusive.

    Args:
        train_until: Last date of the training rows.
        test_from: First date of the test rows.
        test_until: Last date of the test rows. Defaults to `None`, the last one present.
    """

    train_until: datetime.date
    test_from: datetime.date
    test_until: datetime.date | None = None

    def __post_init__(self) -> None:
        for name in ("train_until", "test_from", "test_until"):
            object.__setattr__(self, name, as_day_or_none(name, getattr(self, name)))


def all_skipped(column: str, rows: int, name: str) -> ValueError:
    """Returns the error of rows that are all marked by `skip_training`."""
    return ValueError(
        f"`skip_training` must leave rows to train on. Received: {column!r} is 1 in all {rows} training rows "
        f"of {name}"
    )
