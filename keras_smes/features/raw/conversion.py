"""Converts raw values to the served types, or raises with the feature and the value.

A column is a NumPy array or a list. `None`, and NaN in a float column of ids (as tables store integers with
empty cells), become the missing value.
"""

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

MISSING_INTEGER = -1  # a loader's value for an empty integer category
MISSING_STRING = ""

_INT64 = np.iinfo(np.int64)


def as_column(name: str, values: Any) -> np.ndarray:
    """Returns `values` as an array `[N]`; lists keep their Python objects, so that integers stay exact."""
    if isinstance(values, (list, tuple)):
        return np.fromiter(values, object, len(values))
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(
            f"Feature {name!r} must have one value per row, of shape [rows]. Received: shape {array.shape}"
        )
    return array


def to_int64(name: str, values: Any) -> np.ndarray:
    """Returns ids as int64 `[N]`; floats only if whole and small enough to be exact."""
    array = as_column(name, values)
    if array.dtype.kind == "O":
        return _integers_of_objects(name, array)
    if array.dtype.kind == "f":
        return _integers_of_floats(name, array)
    if array.dtype.kind not in "iu":
        raise _type_drift(name, "integers", array.dtype.name)
    if array.dtype.kind == "u":
        _check_all(name, array, array > np.uint64(_INT64.max), "ids within int64")
    return array.astype(np.int64, copy=False)


def to_float32(name: str, values: Any) -> np.ndarray:
    """Returns numbers as float32 `[N]`; those beyond its range become infinite."""
    array = as_column(name, values)
    if array.dtype.kind == "O":
        array = _floats_of_objects(name, array)
    if array.dtype.kind not in "iuf":
        raise _type_drift(name, "numbers", array.dtype.name)
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def to_strings(name: str, values: Any) -> np.ndarray:
    """Returns strings as an object array `[N]` of str; bytes are read as UTF-8."""
    array = as_column(name, values)
    if array.dtype.kind not in "OUST" and array.size:
        raise _type_drift(name, "strings", array.dtype.name)
    array = _none_for_nan(array.astype(object))
    types = set(map(type, array))
    if types <= {str}:
        return array
    if not all(issubclass(kind, (str, bytes, type(None))) for kind in types):
        raise _type_drift(name, "strings", _names(types))
    return np.fromiter((_text(name, value) for value in array), object, len(array))


# The type name of TF Serving's requests.
CONVERSIONS: dict[str, Callable[[str, Any], np.ndarray]] = {
    "int64": to_int64,
    "float32": to_float32,
    "string": to_strings,
}


def _none_for_nan(array: np.ndarray) -> np.ndarray:
    """Returns objects with `None` for NaN, pandas' empty cell of text or ids."""
    if not any(issubclass(kind, (float, np.floating)) for kind in set(map(type, array))):
        return array
    is_nan = (isinstance(value, (float, np.floating)) and value != value for value in array)
    return np.fromiter((None if nan else v for nan, v in zip(is_nan, array, strict=True)), object, len(array))


def _integers_of_objects(name: str, array: np.ndarray) -> np.ndarray:
    array = _none_for_nan(array)
    types = set(map(type, array)) - {type(None)}
    if not all(_is_kind_of(kind, numbers.Integral) for kind in types):
        raise _type_drift(name, "integers", _names(types))
    filled = [MISSING_INTEGER if value is None else int(value) for value in array]
    try:
        return np.array(filled, np.int64)
    except OverflowError:
        beyond = np.array([not _INT64.min <= value <= _INT64.max for value in filled])
        _check_all(name, array, beyond, "ids within int64")
        raise


def _integers_of_floats(name: str, array: np.ndarray) -> np.ndarray:
    present = np.where(np.isnan(array), MISSING_INTEGER, array)
    whole = np.isfinite(present) & (present == np.floor(present))
    _check_all(name, array, ~whole, "integers")
    # From here on, adjacent integers are the same float.
    exact = 2.0 ** (np.finfo(array.dtype).nmant + 1)
    _check_all(name, array, np.abs(present) >= exact, f"ids that {array.dtype.name} holds exactly")
    return present.astype(np.int64)


def _floats_of_objects(name: str, array: np.ndarray) -> np.ndarray:
    types = set(map(type, array)) - {type(None)}
    if not all(_is_kind_of(kind, numbers.Real) for kind in types):
        raise _type_drift(name, "numbers", _names(types))
    return np.array([np.nan if value is None else _float(value) for value in array], np.float64)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a Python integer of more than 308 digits
        return float("inf") if value > 0 else float("-inf")


def _text(name: str, value: str | bytes | None) -> str:
    if value is None:
        return MISSING_STRING
    if isinstance(value, str):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"Feature {name!r} takes text in UTF-8. Received: {value!r}") from None


def _check_all(name: str, array: np.ndarray, invalid: np.ndarray, expected: str) -> None:
    if invalid.any():
        row = int(np.argmax(invalid))
        raise ValueError(
            f"Feature {name!r} takes {expected}. Received: {array[row]!s} at position {row}, "
            f"one of {int(invalid.sum())} such values"
        )


def _type_drift(name: str, expected: str, received: str) -> ValueError:
    return ValueError(f"Feature {name!r} takes {expected}. Received: values of type {received}")


def _is_kind_of(kind: type, expected: type) -> bool:
    return issubclass(kind, expected) and not issubclass(kind, bool)


def _names(types: set[type]) -> str:
    return ", ".join(sorted(kind.__name__ for kind in types))
