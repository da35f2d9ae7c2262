"""Where the rows of a run are cut: stated in its configuration, and applied in one place."""

import dataclasses
import datetime
from typing import Any

from keras_smes.checks import check_count, check_weight
from keras_smes.data import Interactions, Split, date_range, split, split_with_statistics
from keras_smes.data.column_types import as_day
from keras_smes.data.split import complete_dates, last_days, last_training_day

DATES = ("train_until", "test_from", "test_until")
Day = datetime.date | str | None


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """Which rows a run is trained on and which it is tested on: by dates, the last days, or a share.

    Args:
        train_until: Last date of the training rows; text such as `"2026-11-12"` becomes a date. Defaults to
            `None`, the day before `test_from`.
        test_from: First date of the test rows. Defaults to `None`, the day after `train_until`.
        test_until: Last date of the test rows. Defaults to `None`, the last one present.
        test_days: In place of `train_until` and `test_from`: the last so many days, up to `test_until`.
            Defaults to `None`.
        test_fraction: In place of dates and days: the share of the rows that test, in whole days where rows
            have more than one. Defaults to `None`.

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

    def __post_init__(self) -> None:
        for name in DATES:
            object.__setattr__(self, name, _date(name, getattr(self, name)))
        if self.test_days is not None:
            check_count("test_days", self.test_days)
        if self.test_fraction is not None and not 0 < check_weight("test_fraction", self.test_fraction) < 1:
            raise ValueError(
                f"`test_fraction` must be between 0 and 1. Received: test_fraction={self.test_fraction}"
            )
        given = self.given()
        ways = [way for way in (DATES[:2], ("test_days",), ("test_fraction",)) if set(way) & set(given)]
        if given and (len(ways) != 1 or {"test_until", "test_fraction"} <= set(given)):
            raise ValueError(
                "`split` must cut in one way: by `train_until` and `test_from`, or `test_days`, each with "
                "`test_until` if need be, or by `test_fraction`. "
                f"Received: {', '.join(f'{name}={value}' for name, value in given.items())}"
            )
        if ways == [DATES[:2]]:
            complete_dates(*(given.get(name) for name in DATES))

    def given(self) -> dict[str, Any]:
        """Returns what is stated, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def resolve(self, rows: Interactions) -> dict[str, Any]:
        """Returns the arguments of `split` and `split_with_statistics` that cut these rows.

        Raises:
            ValueError: The rows have no days, or no row is on one side of the cut; names what was stated.
        """
        given = self.given()
        if not given or (self.test_fraction is not None and rows.date is None):
            return given
        stated = ", ".join(f"{name}={value}" for name, value in given.items())
        if rows.date is None:
            raise ValueError(
                f"A split by days must be of rows with a day. Received: {stated}, {rows.name} without `date`"
            )
        days = rows.frame[rows.date]
        arguments = {name: value for name, value in given.items() if name in DATES}
        if self.test_days is not None:
            arguments = vars(last_days(days, self.test_days, arguments.get("test_until")))
        elif self.test_fraction is not None:
            if days.n_unique() < 2:
                return given
            arguments = {"train_until": last_training_day(days, self.test_fraction)}
        _check_both(arguments, stated, rows)
        return arguments


def cut(rows: Interactions, config: SplitConfig) -> Split:
    """Cuts rows as a configuration says, with the statistics and histories of `split_with_statistics`."""
    return split_with_statistics(rows, **config.resolve(rows))


def cut_plain(rows: Interactions, config: SplitConfig) -> Split:
    """As `cut`, without statistics and histories."""
    return split(rows, **config.resolve(rows))


def of_every_day(rows: Interactions) -> SplitConfig:
    """Returns the split whose test rows are those of the last day present, all earlier days being trained on.

    Rows without days, or of a single one, have their data set's own.
    """
    days = [] if rows.date is None else rows.frame[rows.date].unique().sort().to_list()
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


def _check_both(arguments: dict[str, Any], stated: str, rows: Interactions) -> None:
    """Rejects dates that leave no row to train or to test on."""
    days, (first, last) = rows.frame[rows.column("date")], date_range(rows)
    dates = complete_dates(*(arguments.get(name) for name in DATES))
    train = days <= dates.train_until
    test = days.is_between(dates.test_from, dates.test_until or last)
    for part, found in (("train", train), ("test", test)):
        if not found.any():
            raise ValueError(
                f"`split` must leave rows to {part} on. Received: {stated}, {rows.name} with rows dated "
                f"{first} to {last}"
            )
