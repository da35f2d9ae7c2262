"""Column validation, and removal of rows that don't count."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_smes.metrics.ids import as_ids

Vector = NDArray[np.float64]


class Rule(NamedTuple):
    """Valid numbers of a column, in words and as a test; and whether they are weights."""

    words: str
    holds: Callable[[Vector], NDArray[np.bool_]]
    weighs: bool = False


BINARY = Rule("0 or 1", lambda x: (x == 0) | (x == 1))
FINITE = Rule("finite", np.isfinite)
RELEVANCE = Rule("finite and not negative", lambda x: np.isfinite(x) & (x >= 0))
PROBABILITY = Rule("in [0, 1]", lambda x: (x >= 0) & (x <= 1))
WEIGHT = Rule("finite and not negative", lambda x: np.isfinite(x) & (x >= 0), weighs=True)
LISTED = Rule("0 or 1", BINARY.holds, weighs=True)  # in the list or not
ID = Rule("integers or strings", lambda x: np.ones(len(x), bool))  # users or groups; None where unknown


def counted(**columns: tuple[ArrayLike | None, Rule]) -> list[NDArray[Any]]:
    """Returns the columns, in order, without the rows whose weight is zero.

    Such rows may hold any value, such as NaN for an unknown label. Weights may be `None`: 1 for every row.
    """
    length = len(np.atleast_1d(next(values for values, _ in columns.values() if values is not None)))
    arrays: dict[str, NDArray[Any]] = {}
    for name, (values, rule) in columns.items():
        given = np.ones(length) if values is None else values
        arrays[name] = as_ids(name, given) if rule is ID else np.asarray(given, np.float64)
    _check_lengths(arrays)
    (weights_name,) = (name for name, (_, rule) in columns.items() if rule.weighs)
    counts_n = arrays[weights_name] != 0
    for (name, value_n), (_, rule) in zip(arrays.items(), columns.values(), strict=True):
        bad = np.flatnonzero(counts_n & ~rule.holds(value_n))
        if bad.size:
            raise ValueError(f"`{name}` must be {rule.words}. Received: {name}[{bad[0]}]={value_n[bad[0]]}")
    return list(arrays.values()) if counts_n.all() else [array[counts_n] for array in arrays.values()]


def _check_lengths(arrays: dict[str, NDArray[Any]]) -> None:
    if any(array.ndim != 1 for array in arrays.values()) or len({len(a) for a in arrays.values()}) > 1:
        names = ", ".join(f"`{name}`" for name in arrays)
        shapes = ", ".join(f"{name}.shape={array.shape}" for name, array in arrays.items())
        raise ValueError(f"{names} must have one dimension and equal lengths. Received: {shapes}")


def canonical_order(*keys: NDArray[Any], weights: Vector, others: Sequence[NDArray[Any]]) -> NDArray[np.intp]:
    """Sorts rows by the keys, last key first, so that sums don't depend on the order of rows.

    Sums of equal weights are exact in any order; otherwise ties are sorted by all columns.
    """
    all_equal = not len(weights) or bool((weights == weights[0]).all())
    return np.lexsort(keys if all_equal else (weights, *others, *keys))


def opens_group(*sorted_keys: NDArray[Any]) -> NDArray[np.bool_]:
    """Returns whether a row is the first of its group of equal keys."""
    opens_n = np.ones(len(sorted_keys[0]), bool)
    opens_n[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in sorted_keys])
    return opens_n


def sum_before(value_x: NDArray[Any], opens_x: NDArray[np.bool_]) -> NDArray[Any]:
    """Returns the sum of the preceding values in the group; groups are contiguous.

    Integers are summed over all groups, which is exact, and the sum before the group is subtracted. Others
    are summed within the group: a large value's rounding would carry over to all following groups.
    """
    before_x = np.zeros_like(value_x)
    if is_whole(value_x) or opens_x.sum() <= 1:
        before_x[1:] = np.cumsum(value_x)[:-1]
        return before_x - before_x[opens_x][np.cumsum(opens_x) - 1]
    place_x = np.arange(len(value_x))
    place_x -= np.maximum.accumulate(np.where(opens_x, place_x, 0))
    before_x[1:] = np.where(opens_x[1:], 0, value_x[:-1])
    reach, longest = 1, int(place_x.max())
    while reach <= longest:  # each sum covers the last `reach` values
        before_x[reach:] += np.where(place_x[reach:] >= reach, before_x[:-reach], 0)
        reach *= 2
    return before_x


def is_whole(value_x: NDArray[Any]) -> bool:
    """Returns whether values are non-negative integers with exact sums in float64."""
    if value_x.dtype.kind != "f":
        return True
    return bool(value_x.sum() < 2**53 and (value_x == np.rint(value_x)).all())


def scaled_by_group(weight_n: Vector, opens_n: NDArray[np.bool_]) -> Vector:
    """Scales weights by a power of 2 per group, so that products neither underflow nor overflow."""
    if is_whole(weight_n):
        return weight_n
    heaviest_g = np.maximum.reduceat(weight_n, np.flatnonzero(opens_n))
    return np.ldexp(weight_n, -np.frexp(heaviest_g)[1][np.cumsum(opens_n) - 1])


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Vector:
    """Quotient, NaN where the denominator is 0."""
    x, y = np.broadcast_arrays(numerator, denominator)
    return np.divide(x, y, out=np.full(x.shape, np.nan), where=y != 0)


def sum_by(group_x: NDArray[np.intp], value_x: NDArray[Any]) -> Vector:
    return np.bincount(group_x, value_x).astype(np.float64, copy=False)
