"""What a row may know: the day from which it counts, and the day as of which its features are.

No row ever sees its own day. A row is *known* from the day after the later of its date and the day of
its time, and its features are *as of* the start of the earlier of the two: logs such as KuaiRand's date some
rows after midnight that happened before it, and either reading alone would let such a row see its own future.
A row's features come from the rows whose `KNOWN` is before its `AS_OF`.
"""

import datetime

import polars as pl

from keras_smes.data.column_types import as_day
from keras_smes.data.interactions import Interactions

# Columns that live only while something is computed from the past.
KNOWN, AS_OF = "__known", "__as_of"


def known_and_as_of(
    interactions: Interactions, frozen_from: datetime.date | None = None
) -> tuple[pl.Expr, pl.Expr]:
    """Returns the expressions of `KNOWN` and `AS_OF`, both dates.

    Args:
        interactions: Whose roles of columns count; its rows don't.
        frozen_from: Rows dated on or after this day ask as of it at the latest, as a model that is deployed
            that day does. `None`, the default, freezes nothing.
    """
    time, date = interactions.column("time"), interactions.column("date")
    moment = pl.from_epoch(time, time_unit="ms").dt.replace_time_zone("UTC")
    day = moment.dt.convert_time_zone(interactions.time_zone).dt.date()
    known = pl.max_horizontal(date, day)
    as_of = pl.min_horizontal(date, day)
    if frozen_from is not None:
        frozen_from = as_day("frozen_from", frozen_from)
        frozen = pl.min_horizontal(as_of, pl.lit(frozen_from))
        as_of = pl.when(pl.col(date) >= frozen_from).then(frozen).otherwise(as_of)
    return known.alias(KNOWN), as_of.alias(AS_OF)


def columns_of_past(roles: Interactions) -> list[str]:
    """Returns the columns that the statistics and histories of interactions are of, each once."""
    names = [name for key in roles.statistics for name in key.columns]
    names += roles.event_columns if roles.statistics else ()
    for history in roles.histories:
        names += [roles.column("user"), history.item, history.label]
    return list(dict.fromkeys(names))


def days_of(rows: pl.DataFrame) -> int:
    """Returns how many days of the calendar rows with `KNOWN` and `AS_OF` are of."""
    days = pl.concat([rows[KNOWN], rows[AS_OF]]).to_physical()
    return 1 if days.is_empty() else int(days.max()) - int(days.min()) + 1  # type: ignore[arg-type]
