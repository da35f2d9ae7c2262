"""Converts JSON values to arrays."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

import grpc
import numpy as np

from keras_smes_serving.protocol.dtypes import numpy_dtype
from keras_smes_serving.protocol.errors import ServingError, reject
from keras_smes_serving.server.runtime.session import Array

_SHOWN: Final = 256
_MOST_DIMENSIONS: Final = 64  # limit of NumPy
_PART: Final = 2**16
_INTEGERS: Final = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")
_NAMES: Final = {"float32": "float", "float64": "double"}


def tensor(value: Any, dtype: str) -> Array:
    """Converts nested lists to an array; integers stay integers, and nothing is rounded or cast.

    Args:
        value: A number, a string, a boolean, `{"b64": ...}`, or lists of these.
        dtype: str. The NumPy name of the dtype, or `"string"`.

    Raises:
        ServingError: INVALID_ARGUMENT: a value isn't of the dtype, or the lists are ragged.
    """
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > _MOST_DIMENSIONS:
        reject(f"Lists must be nested at most {_MOST_DIMENSIONS} deep. Received: {len(shape)} deep")
    flat: list[Any] = []
    _flatten(value, 0, shape, flat)
    leaf = _leaf(dtype)
    values = [leaf(item) for item in flat]
    if dtype == "string":
        array = np.empty(len(values), object)
        array[:] = values
    else:
        array = _numbers(values, dtype)
    return array.reshape(shape)


def b64_value(value: Any) -> bytes | None:
    """Decodes `{"b64": "..."}`; None for other values.

    Raises:
        ServingError: INVALID_ARGUMENT: the text isn't base64.
    """
    if not (isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)):
        return None
    try:
        return base64.b64decode(value["b64"] + "=" * (-len(value["b64"]) % 4), validate=True)
    except (binascii.Error, ValueError):
        reject("Unable to base64 decode")


def shown(value: Any) -> str:
    """Formats a JSON value for an error message, truncated to 256 characters."""
    # Stops early, so that rejecting a large request stays cheap.
    text = ""
    for chunk in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        text += chunk
        if len(text) > _SHOWN:
            break
    return text[:_SHOWN]


def _flatten(value: Any, level: int, shape: list[int], flat: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            reject(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected "
                f"at level: {len(shape)}"
            )
        flat.append(value)
        return
    if level >= len(shape):
        reject(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        reject(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for item in value:
        _flatten(item, level + 1, shape, flat)


def _leaf(dtype: str) -> Callable[[Any], Any]:
    """Returns the conversion of a single value of a dtype."""
    if dtype == "string":
        return _bytes
    kinds: tuple[type, ...] = (bool,) if dtype == "bool" else (int,)
    if dtype in _NAMES:
        kinds = (int, float)
    elif dtype != "bool" and dtype not in _INTEGERS:
        text = f"Conversion of JSON Value to type: {dtype}"
        raise ServingError(grpc.StatusCode.UNIMPLEMENTED, text)

    def check(value: Any) -> Any:
        return value if type(value) in kinds else _reject_type(value, dtype)

    return check


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    decoded = b64_value(value)
    return _reject_type(value, "string") if decoded is None else decoded


def _numbers(values: list[Any], dtype: str) -> Array:
    # In parts, between which other threads can run.
    parts = [_part(values[start : start + _PART], dtype) for start in range(0, len(values), _PART)]
    return np.concatenate(parts) if parts else _part(values, dtype)


def _part(values: list[Any], dtype: str) -> Array:
    target = numpy_dtype(dtype)
    if target.kind in "iu" and values:
        bounds = np.iinfo(target)
        for value in (min(values), max(values)):
            if not bounds.min <= value <= bounds.max:
                _reject_type(value, dtype)
    with np.errstate(over="ignore"):
        return np.array([_float(v) for v in values] if target.kind == "f" else values, target)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return float("inf") if value > 0 else float("-inf")


def _reject_type(value: Any, dtype: str) -> NoReturn:
    kind = {bool: str(value), type(None): "Null", str: "String", dict: "Object", list: "Array"}
    reject(
        f"JSON Value: {shown(value)} Type: {kind.get(type(value), 'Number')} is not of expected type: "
        f"{_NAMES.get(dtype, dtype)}"
    )
