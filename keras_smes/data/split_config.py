"""The split of a run: its configuration, and the one place that applies it."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import polars as pl

from keras_smes.data.column_types import as_day
from keras_smes.data.interactions import Interactions
from keras_smes.data.past.histories import with_histories
from keras_smes.data.past.statistics import with_statistics
from keras_smes.data.past.stored import store_past
from keras_smes.data.rows import Rows, RowsT
from keras_smes.data.split import (
    TEST,
    Split,
    complete_dates,
    hashed_fractions,
    last_days,
    last_training_day,
    split,
)
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.validation import check_count, check_counts, check_weight

DATES = ("train_until", "test_from", "test_until")
WAYS = (DATES[:2], ("test_days",), ("test_fraction",), ("test_files",))
Day = datetime.date | str | None


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """Which rows are trained on and which test: by dates, the last days, a share, or files of their own.

    Args:
        train_until: Last date of the training rows; text such as `"2026-11-12"` becomes a date. Defaults to
            `None`, the day before `test_from`.
        test_from: First date of the test rows. Defaults to `None`, the day after `train_until`.
        test_until: Last date of the test rows. Defaults to `None`, the last one present.
        test_days: In place of `train_until` and `test_from`: the last so many days, up to `test_until`.
            Defaults to `None`.
        test_fraction: In place of dates and days: the share of the rows that test, in whole days where rows
            have more than one. Defaults to `None`.
        by: With `test_fraction`: `"time"`, the last rows, or `"hash"`, rows by a hash of their place, which
            rows without time have in any case. Defaults to `None`, `"time"`.
        seed: Of the hash. Defaults to `None`, `0`.
        fold: With `by="hash"`: which of the shares of `test_fraction` tests, the first being 0. Defaults to
            `None`, the first.
        left_out: With `by="hash"`: folds that are neither trained nor tested on, such as those of the final
            test. Defaults to `()`.
        test_files: In a `Log`: files of the test rows, as its `files`. Defaults to `()`.

    With none of them the data set's own split counts.

    Raises:
        ValueError: A value is none of its kind, or the values cut in no way, or in more than one.

    Example:

    >>> SplitConfig(test_from="2026-11-13").given()
    {'test_from': datetime.date(2026, 11, 13)}
    """

    train_until: Day = None
    test_from: Day = None
    test_until: Day = None
    test_days: int | None = None
    test_fraction: float | None = None
    by: str | None = None
    seed: int | None = None
    fold: int | None = None
    left_out: Sequence[int] = ()
    test_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in DATES:
            object.__setattr__(self, name, _date(name, getattr(self, name)))
        files = (self.test_files,) if isinstance(self.test_files, str) else tuple(self.test_files)
        object.__setattr__(self, "test_files", files)
        if self.test_days is not None:
            check_count("test_days", self.test_days)
        if self.test_fraction is not None and not 0 < check_weight("test_fraction", self.test_fraction) < 1:
            raise ValueError(
                f"`test_fraction` must be between 0 and 1. Received: test_fraction={self.test_fraction}"
            )
        if self.by not in (None, "time", "hash"):
            raise ValueError(f"`by` must be 'time' or 'hash'. Received: by={self.by!r}")
        if self.seed is not None:
            check_count("seed", self.seed, minimum=0)
        self._check_folds()
        self._check_one_way()

    def _check_folds(self) -> None:
        folds = check_counts("left_out", self.left_out, minimum=0) if self.left_out else ()
        object.__setattr__(self, "left_out", tuple(folds))
        if self.fold is not None:
            check_count("fold", self.fold, minimum=0)
        if (self.fold is not None or folds) and self.by != "hash":
            raise ValueError(f"`fold` and `left_out` need by='hash'. Received: {self._stated()}")
        last = max((self.fold or 0, *folds))
        if (self.fold or 0) in folds or last * (self.test_fraction or 0.0) >= 1:
            raise ValueError(
                "`fold` must be a share of the rows that is there and not in `left_out`. "
                f"Received: {self._stated()}"
            )

    def _check_one_way(self) -> None:
        given = self.given()
        ways = [way for way in WAYS if set(way) & set(given)]
        is_dated = ways in ([WAYS[0]], [WAYS[1]])
        is_share = ways == [WAYS[2]]
        wrong = ("test_until" in given and not is_dated) or ({"by", "seed"} & set(given) and not is_share)
        if given and (len(ways) != 1 or wrong):
            raise ValueError(
                "`split` must cut in one way: by `train_until` and `test_from`, or `test_days`, each with "
                "`test_until` if need be, by `test_fraction`, with `by` and `seed` if need be, or by "
                f"`test_files`. Received: {self._stated()}"
            )
        if ways == [WAYS[0]]:
            complete_dates(*(given.get(name) for name in DATES))

    def given(self) -> dict[str, Any]:
        """Returns what is stated, by name."""
        return {name: value for name, value in vars(self).items() if value not in (None, ())}

    def _stated(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.given().items())

    def resolve(self, days: Mapping[datetime.date, int] | None, name: str) -> dict[str, Any]:
        """Returns the arguments of `split` and `split_with_statistics` that cut rows of these days.

        Args:
            days: How many rows each day has, in the order of days; `None` for rows without.
            name: Name of the rows, for messages.

        Raises:
            ValueError: Days are stated, and the rows have none.
        """
        given = self.given()
        if not given or (self.test_fraction is not None and days is None):
            return given
        if days is None:
            raise ValueError(
                "A split by days needs `time` or `date`, rows with a day. "
                f"Received: {self._stated()}, {name} without `date`"
            )
        if self.test_days is not None:
            return vars(last_days(days, self.test_days, given.get("test_until")))
        if self.test_fraction is not None:
            is_cut = self.by == "hash" or len(days) < 2
            return given if is_cut else {"train_until": last_training_day(days, self.test_fraction)}
        return {key: value for key, value in given.items() if key in DATES}

    def hashed_tests(self, rows: int, first: int = 0) -> pl.Series:
        """Returns which rows test by a hash of their place: bool `[rows]`, null where they are left out.

        Args:
            rows: How many.
            first: Place of the first of them. Defaults to `0`.
        """
        folds_n = np.floor(hashed_fractions(rows, self.seed or 0, first) / (self.test_fraction or 1.0))
        tests = pl.Series(TEST, folds_n == (self.fold or 0))
        return tests.set(pl.Series(np.isin(folds_n, self.left_out)), None)

    def check(self, days: Mapping[datetime.date, int], name: str) -> None:
        """Rejects days of which none is left to train or to test on.

        Args:
            days: As for `resolve`.
            name: As for `resolve`.

        Raises:
            ValueError: Names what was stated.
        """
        arguments = self.resolve(days, name)
        if not set(DATES) & set(arguments):
            return
        dates = complete_dates(*(arguments.get(key) for key in DATES))
        until = max(days) if dates.test_until is None else dates.test_until
        train, test = min(days) <= dates.train_until, any(dates.test_from <= day <= until for day in days)
        for part, found in (("train", train), ("test", test)):
            if not found:
                raise ValueError(
                    f"`split` must leave rows to {part} on. Received: {self._stated()}, {name} with rows "
                    f"dated {min(days)} to {max(days)}"
                )


def cut(rows: RowsT, config: SplitConfig) -> Split[RowsT]:
    """Cuts rows as a configuration says, with statistics and histories frozen at the first day of the test.

    Raises:
        ValueError: As for `split`, or rows on disk are not to be cut by days.
    """
    rows, arguments = _resolved(rows, config)
    return _split(with_past(rows, _split(rows, arguments).frozen_from), arguments)


def cut_plain(rows: RowsT, config: SplitConfig) -> Split[RowsT]:
    """As `cut`, without statistics and histories."""
    return _split(*_resolved(rows, config))


def with_past(rows: RowsT, frozen_from: datetime.date | None = None) -> RowsT:
    """Returns rows with the statistics and histories that they name, frozen from a day on if one is given."""
    if isinstance(rows, StoredInteractions):
        return cast(RowsT, store_past(rows, frozen_from, verbose=0))
    assert isinstance(rows, Interactions)
    return cast(RowsT, with_histories(with_statistics(rows, frozen_from), frozen_from))


def _split(rows: RowsT, arguments: Mapping[str, Any]) -> Split[RowsT]:
    if isinstance(rows, StoredInteractions):
        return cast(Split[RowsT], rows.split(**arguments))
    assert isinstance(rows, Interactions)
    return cast(Split[RowsT], split(rows, **arguments))


def _resolved(rows: RowsT, config: SplitConfig) -> tuple[RowsT, dict[str, Any]]:
    """The rows, and the arguments of `split`: none where a column says which rows test."""
    is_hashed = config.by == "hash" or (config.seed is not None and rows.time is None)
    if isinstance(rows, Interactions) and is_hashed:
        frame = rows.frame.with_columns(config.hashed_tests(len(rows)))
        return dataclasses.replace(rows, frame=frame, split_dates=None, test_column=TEST), {}
    days = rows.days()
    if days is not None:
        config.check(days, rows.name)
    arguments = config.resolve(days, rows.name)
    if isinstance(rows, Interactions) or set(arguments) <= set(DATES):
        return rows, {key: value for key, value in arguments.items() if key in (*DATES, "test_fraction")}
    if rows.roles.test_column is None:
        raise ValueError(
            "Rows on disk are cut by days: give dates, or `memory` that holds them. "
            f"Received: {sorted(set(arguments) - set(DATES))} of {config._stated()}"
        )
    return rows, {}


def of_every_day(rows: Rows) -> SplitConfig:
    """Returns the split whose test rows are those of the last day present, all earlier days being trained on.

    Rows without days, or of a single one, have their data set's own.
    """
    days = list(rows.days() or ())
    if len(days) < 2:
        return SplitConfig()
    return SplitConfig(days[-1] - datetime.timedelta(days=1), days[-1], days[-1])


def _date(name: str, value: Any) -> datetime.date | None:
    if isinstance(value, str):
        try:
            value = datetime.date.fromisoformat(value)
        except ValueError:
            raise ValueError(
                f"`{name}` must be a date such as 2022-05-04. Received: {name}={value!r}"
            ) from None
    return None if value is None else as_day(name, value)
