"""Types of text columns by all of their values: integers, numbers, booleans, days and timestamps."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import polars as pl

SAMPLE = 1000
_INTEGER = r"^-?(0|[1-9][0-9]*)$"
_ZONE = r"(Z|[+-]\d{2}:?\d{2})$"


@dataclasses.dataclass(frozen=True)
class _Form:
    """What text may stand for.

    Args:
        looks: From values to which of them look so: all must.
        read: From values to what they stand for, null where one is none: none may be.
        unlike: A pattern that not all values may have. Defaults to `None`.
    """

    looks: Callable[[pl.Expr], pl.Expr]
    read: Callable[[pl.Expr], pl.Expr]
    unlike: str | None = None

    def fits(self, name: str) -> pl.Expr:
        """Returns whether all values of a column are of this form, of which it has some."""
        known = _known(name).drop_nulls()
        like = pl.when(self.looks(known)).then(known)
        fits = (known.len() > 0) & self.read(like).is_not_null().all()
        return fits if self.unlike is None else fits & ~known.str.contains(self.unlike).all()


def _known(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)


def _like(pattern: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda values: values.str.contains(pattern)


def _like_moments(zoned: bool) -> Callable[[pl.Expr], pl.Expr]:
    looks = _like(r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}")
    return lambda values: looks(values) & (values.str.contains(_ZONE) == zoned)


def _moments(zoned: bool) -> Callable[[pl.Expr], pl.Expr]:
    zone = "UTC" if zoned else None
    return lambda values: values.str.replace(" ", "T", literal=True).str.to_datetime(
        time_unit="us", time_zone=zone, strict=False
    )


_FORMS = (
    _Form(_like(_INTEGER), lambda values: values.cast(pl.Int64, strict=False)),
    _Form(_like(_INTEGER), lambda values: values.cast(pl.UInt64, strict=False)),
    _Form(_like(r"^(?i)(true|false)$"), lambda values: values.str.to_lowercase() == "true"),
    # Leading zeros are a code; whole numbers beyond 64 bits stay text: a float would merge neighbours.
    _Form(
        lambda values: ~values.str.contains(r"^-?0[0-9]"),
        lambda values: values.cast(pl.Float64, strict=False),
        unlike=_INTEGER,
    ),
    _Form(_like(r"^\d{4}-\d{2}-\d{2}$"), lambda values: values.str.to_date("%Y-%m-%d", strict=False)),
    _Form(_like_moments(True), _moments(True)),
    _Form(_like_moments(False), _moments(False)),
)


def forms_of_text(rows: pl.LazyFrame, columns: Sequence[str]) -> list[pl.Expr]:
    """Returns columns of text in the form that all of their values have; empty text becomes null.

    Args:
        rows: All rows.
        columns: The columns of text.
    """
    found = dict(_found(rows.select(columns), columns)) if columns else {}
    return [
        (found[name].read(_known(name)) if name in found else _known(name)).alias(name) for name in columns
    ]


def _found(rows: pl.LazyFrame, columns: Sequence[str]) -> Iterator[tuple[str, _Form]]:
    """Yields the first form that fits each column, where one does; most are ruled out by the first rows."""
    first = rows.head(SAMPLE).collect()
    open_columns = list(columns)
    for form in _FORMS:
        likely = [name for name in open_columns if _may_be(form, first[name])]
        if not likely:
            continue
        fits = rows.select(form.fits(name).alias(name) for name in likely).collect(engine="streaming")
        for name in likely:
            if fits[name].item():
                open_columns.remove(name)
                yield name, form


def _may_be(form: _Form, first: pl.Series) -> bool:
    known = first.filter(first != "").drop_nulls()
    return known.is_empty() or bool(known.to_frame().select(form.looks(pl.col(known.name)).all()).item())
