"""What was known before each day, as expressions that any engine runs: counts and latest items of a key.

Ibis compiles them to the SQL of DuckDB, Spark and others. Counts are whole numbers, lists have one order, and
sums that halve are added in one order, so that the results of all engines are equal to the last digit.
"""

from collections.abc import Mapping, Sequence

import ibis
from ibis import _
from ibis.expr.types import BooleanValue, Table, Value

from keras_smes.data.past.days import AS_OF, KNOWN

# Columns that live only within the expressions.
PLACE = "__place"
_DAY, _IS_ASKED, _AGE, _LEFT = "__day", "__is_asked", "__age", "__left"
_STOP, _CHUNK, _RANK, _ITEMS, _BEFORE = "__stop", "__chunk", "__rank", "__items", "__before"


def counts_before(
    rows: Table,
    key: Sequence[str],
    counted: Mapping[str, BooleanValue | None],
    half_life: float | None = None,
    days: int = 1,
) -> Table:
    """Returns the counts of earlier rows for each (key, `AS_OF`) of the rows.

    With a half-life of H days, a row known from day k on counts `2^(-(a - k - 1) / H)` as of day a > k.

    Args:
        rows: All rows, with `KNOWN` and `AS_OF`.
        key: The columns of the key; none counts all rows.
        counted: By the name of the count, which rows are counted; `None` counts all.
        half_life: Defaults to `None`: a row always counts whole.
        days: How many days the rows are known from at most. Defaults to `1`.

    Returns:
        `key`, `AS_OF` and the counts, int64, or float64 if they halve.
    """
    # Rows may be many; what is left of them after this grouping are few.
    grouped = rows.group_by(*key, KNOWN, AS_OF).aggregate(
        **{name: rows.count(where=where) for name, where in counted.items()}
    )
    events = grouped.select(*key, *counted, **{_DAY: grouped[KNOWN], _IS_ASKED: ibis.literal(0)})
    nothing = {name: ibis.literal(0, "int64") for name in counted}
    asked = grouped.select(*key, **nothing, **{_DAY: grouped[AS_OF], _IS_ASKED: ibis.literal(1)})
    both = ibis.union(events, asked, distinct=False)
    of_day = both.group_by(*key, _DAY).aggregate(
        **{name: both[name].sum().fill_null(0).cast("int64") for name in counted},
        **{_IS_ASKED: both[_IS_ASKED].max()},
    )
    before = (
        _sums(of_day, key, list(counted))
        if half_life is None
        else (_halving_sums(of_day, key, list(counted), half_life, days))
    )
    return before.filter(before[_IS_ASKED] == 1).select(*key, *counted, **{AS_OF: before[_DAY]})


def _sums(of_day: Table, key: Sequence[str], names: Sequence[str]) -> Table:
    earlier = ibis.window(group_by=list(key), order_by=[_DAY], preceding=(None, 1))
    return of_day.mutate(
        **{name: of_day[name].sum().over(earlier).fill_null(0).cast("int64") for name in names}
    )


def _halving_sums(
    of_day: Table, key: Sequence[str], names: Sequence[str], half_life: float, days: int
) -> Table:
    """Sums over earlier days, of which each is worth less by its age.

    The sum up to a day is the day and what is left of the sum up to the one before it. A scan in
    `log2(days)` steps doubles the days that a sum is over (Hillis and Steele, 1986): nothing overflows,
    however many half-lives there are, and the order of additions is the same wherever it runs.
    """
    in_order = ibis.window(group_by=list(key), order_by=[_DAY])
    ages = of_day[_DAY].delta(of_day[_DAY].lag(1).over(in_order), unit="day").fill_null(1)
    sums = of_day.mutate(**{_AGE: ages.cast("int64")})
    sums = sums.mutate(
        **{name: sums[name].cast("float64") for name in names},
        **{_LEFT: _halved(sums[_AGE], half_life), _BEFORE: _halved(sums[_AGE] - 1, half_life)},
    )
    for step in range((days - 1).bit_length()):
        shifted = {
            name: sums[name].lag(2**step).over(in_order).fill_null(_float(0.0)) for name in (*names, _LEFT)
        }
        sums = sums.mutate(
            **{name: sums[name] + sums[_LEFT] * shifted[name] for name in names},
            **{_LEFT: sums[_LEFT] * shifted[_LEFT]},
        )
    return sums.mutate(
        **{name: sums[_BEFORE] * sums[name].lag(1).over(in_order).fill_null(_float(0.0)) for name in names}
    )


def _halved(ages: Value, half_life: float) -> Value:
    """`0.5 ** (age / half_life)`, by multiplications: powers of engines differ in their last digit."""
    left: Value = _float(1.0)
    for bit in range(15):  # 90 years
        left = left * ((ages & 2**bit) > 0).ifelse(_float(0.5 ** (2**bit / half_life)), _float(1.0))
    return left


def _float(number: float) -> Value:
    """A number with all of its digits: engines read `0.1` as a decimal of their own width."""
    return ibis.literal(repr(number)).cast("float64")


def latest_before(rows: Table, user: str, item: str, label: str, length: int, name: str) -> Table:
    """Returns the latest items before each (user, `AS_OF`) of the rows.

    Items are cut into lists of `length`: what is latest lies in two of them, whatever the day.

    Args:
        rows: All rows, with `KNOWN`, `AS_OF` and `PLACE`, in order of time.
        user: The column of the user; rows without one are left out.
        item: The column of what is listed; rows without one are not listed.
        label: The column that is 1 where the item is listed.
        length: Most items of a list.
        name: What the list is called.

    Returns:
        `user`, `AS_OF` and the list, the newest item last; pairs without any item are left out.
    """
    rows = rows.filter(rows[user].notnull())
    listed = (rows[label] == 1) & rows[item].notnull()
    asked = counts_before(rows, [user], {_STOP: listed})
    asked = asked.filter(asked[_STOP] > 0).mutate(**{_CHUNK: (_[_STOP] - 1) // length})
    in_order = ibis.window(group_by=user, order_by=[KNOWN, PLACE])
    ranked = rows.filter(listed).mutate(**{_RANK: ibis.row_number().over(in_order)})
    chunks = ranked.group_by(user, **{_CHUNK: ranked[_RANK] // length}).aggregate(
        **{_ITEMS: ibis.struct({"rank": ranked[_RANK], "item": ranked[item]}).collect()}
    )
    chunks = chunks.mutate(**{_ITEMS: chunks[_ITEMS].sort().map(lambda entry: entry["item"])})
    earlier = chunks.select(user, **{_CHUNK: chunks[_CHUNK] + 1, _BEFORE: chunks[_ITEMS]})
    found = asked.left_join(earlier, [user, _CHUNK]).select(asked, earlier[_BEFORE])
    found = found.join(chunks, [user, _CHUNK]).select(found, chunks[_ITEMS])
    last = found[_STOP] - found[_CHUNK] * length
    both = found[_BEFORE].concat(found[_ITEMS])
    lists = found[_BEFORE].isnull().ifelse(found[_ITEMS][:last], both[last : last + length])
    return found.select(user, AS_OF, **{name: lists})
