"""Ids of users and groups, numbered, with nulls apart.

They are never converted to floats, where integers from 2**53 on would merge: ids of different integer types,
or with nulls, are joined as Python integers.
"""

import math
import numbers
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

_INT64_MAX = np.iinfo(np.int64).max
_NULLS = ("NoneType", "NAType", "NaTType")  # None, and pandas' null


def as_ids(name: str, values: Any) -> NDArray[Any]:
    """Returns ids `[N]` as integers, or as objects: int, str, and `None` where unknown.

    Strings are objects too: NumPy's string arrays reserve the longest length for each row.
    """
    array = _untouched(values)
    kind = array.dtype.kind
    if array.ndim != 1 or kind in "iu":
        return array
    if kind == "b":
        return array.astype(np.int8)
    return _of_floats(name, array) if kind == "f" else _of_objects(name, array.astype(object))


def numbered(ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns the distinct ids, integers first, ascending, and each row's index among them; -1 for `None`."""
    if ids.dtype.kind in "iu":
        distinct, number_n = np.unique(ids, return_inverse=True)
        return distinct, number_n
    known = set(ids) - {None}
    integers = sorted(value for value in known if not isinstance(value, str))
    ordered = [*integers, *sorted(value for value in known if isinstance(value, str))]
    number = {value: place for place, value in enumerate(ordered)}
    return _array(ordered), np.fromiter((number.get(value, -1) for value in ids), np.intp, len(ids))


def number_ids(name: str, values: Any) -> NDArray[np.int64]:
    """Returns a number below 2**32 for each row's id, int64 `[N]`, in the order of the ids; -1 for a null."""
    ids = as_ids(name, values)
    if ids.dtype.kind in "iu" and len(ids) and int(ids.max()) - int(ids.min()) < 2**32 - 1:
        return (ids - ids.min()).astype(np.int64)
    return numbered(ids)[1].astype(np.int64)


def of_known(ids: NDArray[Any], *columns: NDArray[Any]) -> tuple[NDArray[Any], list[NDArray[Any]], int]:
    """Returns the rows of known ids, the ids as integers in the same order, and the number of other rows."""
    if ids.dtype.kind in "iu":
        return ids, list(columns), 0
    number_n = numbered(ids)[1]
    known_n = number_n >= 0
    return number_n[known_n], [column[known_n] for column in columns], int((~known_n).sum())


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Concatenates ids of several arrays."""
    kinds = {part.dtype.kind for part in parts}
    if kinds == {"i", "u"} and np.result_type(*parts).kind == "f":  # int64 beside uint64
        if all(part.max(initial=0) <= _INT64_MAX for part in parts):
            return np.concatenate([part.astype(np.int64) for part in parts])
    elif kinds <= {"i", "u"}:
        return np.concatenate(parts)
    return np.concatenate([part.astype(object) for part in parts])


def _untouched(values: Any) -> NDArray[Any]:
    """Returns an array whose values are unchanged by a conversion to a common type."""
    if np.ma.isMaskedArray(values):
        return _hidden(np.ma.getdata(values), np.ma.getmaskarray(values))
    if isinstance(values, (list, tuple)):
        nested = any(isinstance(value, (list, tuple, np.ndarray)) for value in values)
        return np.asarray(values) if nested else np.fromiter(values, object, len(values))
    array = np.asarray(values)
    if array.dtype.kind == "f" and hasattr(values, "to_list"):  # a Series of integers with nulls
        return np.fromiter(values, object, len(values))
    return array


def _of_floats(name: str, array: NDArray[Any]) -> NDArray[Any]:
    known_n = ~np.isnan(array)
    exact = 2.0 ** (np.finfo(array.dtype).nmant + 1)
    bad_n = known_n & ~((np.abs(array) < exact) & (array == np.floor(array)))
    if bad_n.any():
        _reject(name, int(bad_n.argmax()), array[bad_n][0])
    whole = np.where(known_n, array, 0).astype(np.int64)
    return whole if known_n.all() else _hidden(whole, ~known_n)


def _hidden(array: NDArray[Any], unknown_n: NDArray[np.bool_]) -> NDArray[Any]:
    objects = array.astype(object)
    objects[unknown_n] = None
    return objects


def _of_objects(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if set(map(type, array)) <= {str, type(None)}:
        return array
    return _array([_id(name, row, value) for row, value in enumerate(array)])


def _array(values: list[Any]) -> NDArray[Any]:
    """Returns ids as int64 if all fit, else as objects."""
    array = np.fromiter(values, object, len(values))
    if values and all(type(value) is int for value in values):
        try:
            return array.astype(np.int64)
        except OverflowError:
            pass
    return array


def _id(name: str, row: int, value: Any) -> int | str | None:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, numbers.Integral):
        return int(value)
    if type(value).__name__ in _NULLS:
        return None
    if not isinstance(value, numbers.Real):
        _reject(name, row, value)
    number = float(value)
    if math.isnan(number):
        return None
    if not abs(number) < 2**53 or not number.is_integer():
        _reject(name, row, value)
    return int(number)


def _reject(name: str, row: int, value: Any) -> NoReturn:
    raise ValueError(
        f"`{name}` must be integers or strings; floats only if whole and under 2**53, or distinct ones may "
        f"be one. Received: {name}[{row}]={value!r}"
    )
