"""Validation of request inputs against a signature.

A server decodes whatever it can: a wrongly typed list becomes zeros, a float id is rounded. The client can
still name the feature and the value in an error.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Complex, Integral, Real
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from keras_smes_serving.protocol.dtypes import dtype_name, numpy_dtype

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature.

    Args:
        dtype: str. The NumPy name of the dtype, or `"string"`.
        shape: tuple of int or None, None for any size; or None for any shape.
        optional: bool. Whether a request may omit it. Defaults to False.
    """

    dtype: str
    shape: tuple[int | None, ...] | None
    optional: bool = False


@dataclass(frozen=True)
class SignatureSpec:
    """The inputs and the outputs of a signature, by name.

    Args:
        inputs: mapping of str to `TensorSpec`.
        outputs: mapping of str to `TensorSpec`.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


def signature_spec(signature: Any) -> SignatureSpec:
    """Reads a SignatureDef message."""

    def spec(name: str, info: Any) -> TensorSpec:
        sizes = tuple(dim.size if dim.size >= 0 else None for dim in info.tensor_shape.dim)
        shape = None if info.tensor_shape.unknown_rank else sizes
        return TensorSpec(dtype_name(info.dtype), shape, name in signature.defaults)

    return SignatureSpec(
        {name: spec(name, info) for name, info in sorted(signature.inputs.items())},
        {name: spec(name, info) for name, info in sorted(signature.outputs.items())},
    )


def as_columns(inputs: Mapping[str, Any], spec: SignatureSpec, allow_nan: bool = True) -> dict[str, Array]:
    """Validates the inputs of a request and converts them to the dtypes of the model.

    Args:
        inputs: mapping of str to ndarray or list. The values of each feature, rows first. A feature of shape
            `[rows, 1]` may be given as `[rows]`.
        spec: `SignatureSpec`. The signature.
        allow_nan: bool. Whether floats may be NaN. Defaults to `True`.

    Returns:
        dict of str to ndarray. Strings as object arrays.

    Raises:
        ValueError: A feature is unknown or missing, can't be converted without loss, or has another number
            of rows than the rest. The message names it and the value.
    """
    _check_names("`inputs`", inputs, spec)
    columns = {name: _column(name, value, spec.inputs[name]) for name, value in inputs.items()}
    free = [name for name in columns if (shape := spec.inputs[name].shape) and shape[0] is None]
    rows = {name: len(columns[name]) for name in free}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name}={count}" for name, count in rows.items())
        raise ValueError(f"`inputs` must have the same number of rows. Received: {counts}")
    if not allow_nan:
        _check_no_nan(columns)
    return columns


def with_user(
    user: Mapping[str, Any], candidates: Mapping[str, Any], spec: SignatureSpec, tiled: bool
) -> dict[str, Any]:
    """Joins the features of one user with those of the candidates, as inputs of `as_columns`.

    Args:
        user: mapping of str to value. Each one value, or one row of values.
        candidates: mapping of str to ndarray or list. One row per candidate.
        spec: `SignatureSpec`. The signature.
        tiled: bool. Whether the user's row is repeated for each candidate.

    Raises:
        ValueError: There is no candidate feature, a feature is given twice or is unknown, or a user feature
            has several rows. The message names it.
    """
    if not candidates:
        raise ValueError("`candidates` must hold at least one feature. Received: candidates={}")
    for name in user:
        if name in candidates:
            raise ValueError(f"`user` and `candidates` must not share a feature. Received: `{name}` in both")
        if name not in spec.inputs:
            known = ", ".join(spec.inputs)
            raise ValueError(f"`user` must hold features of the model: {known}. Received: `{name}`")
    rows = {name: _one_row(name, value, spec.inputs[name]) for name, value in user.items()}
    if tiled:
        count = len(next(iter(candidates.values())))
        rows = {name: np.broadcast_to(row, (count, *row.shape[1:])) for name, row in rows.items()}
    return {**rows, **candidates}


def _one_row(name: str, value: Any, spec: TensorSpec) -> Array:
    row = np.asarray(value, object if spec.dtype == "string" else None)
    if spec.shape is not None and row.ndim == len(spec.shape) - 1:
        row = row[np.newaxis]
    if row.ndim == 0 or len(row) != 1:
        raise ValueError(f"Feature `{name}` of `user` must have one row. Received: {reprlib.repr(value)}")
    return row


def _check_no_nan(columns: Mapping[str, Array]) -> None:
    for name, column in columns.items():
        if column.dtype.kind in "fVc" and (found := np.isnan(column)).any():
            where = "".join(f"[{position}]" for position in np.argwhere(found)[0])
            raise ValueError(f"Feature `{name}` must not be NaN. Received: {name}{where}=nan")


def rows_to_columns(rows: Sequence[Mapping[str, Any]], spec: SignatureSpec) -> dict[str, Array]:
    """Converts rows, such as the lines of a JSONL file, to the columns of a request.

    Args:
        rows: sequence of mapping of str to value. One mapping per row, all with the same features.
        spec: `SignatureSpec`. The signature.

    Returns:
        dict of str to ndarray. One column per feature.

    Raises:
        ValueError: A row lacks a feature or has an unknown one, or a value is invalid. The message names row
            (from 0) and feature.

    Example:

    ```python
    rows_to_columns([{"user_id": 7, "item_id": 42}, {"user_id": 7, "item_id": 43}], spec)
    ```
    """
    # An optional feature of one row becomes required in all: columns have no holes.
    given = {name for row in rows for name in row}
    needed = [name for name, tensor in spec.inputs.items() if name in given or not tensor.optional]
    for index, row in enumerate(rows):
        _check_names(f"`rows[{index}]`", row, spec)
        for name in needed:
            if name not in row:
                raise ValueError(f"`rows[{index}]` lacks the feature `{name}`. Received: {dict(row)}")
    return as_columns({name: [row[name] for row in rows] for name in needed}, spec)


def _check_names(what: str, names: Iterable[str], spec: SignatureSpec) -> None:
    known = ", ".join(spec.inputs)
    for name in names:
        if name not in spec.inputs:
            raise ValueError(f"{what} must hold features of the model: {known}. Received: `{name}`")
    for name, tensor in spec.inputs.items():
        if name not in names and not tensor.optional:
            got = ", ".join(names)
            raise ValueError(f"{what} lacks the feature `{name}`. Received: {got or 'no feature'}")


def _column(name: str, value: Any, spec: TensorSpec) -> Array:
    column = _cast(name, value, spec.dtype)
    if spec.shape is None:
        return column
    if column.ndim == 1 and spec.shape[1:] == (1,):
        column = column[:, np.newaxis]
    if column.ndim != len(spec.shape) or not all(map(_allows, spec.shape, column.shape)):
        expected = ", ".join("any" if size is None else str(size) for size in spec.shape)
        raise ValueError(f"Feature `{name}` must have the shape ({expected}). Received: {column.shape}")
    return column


def _allows(expected: int | None, size: int) -> bool:
    return expected is None or expected == size


def _cast(name: str, value: Any, dtype: str) -> Array:
    """Casts values to a dtype without loss; integers never pass through floats."""
    if dtype == "string":
        return _checked(name, value, dtype)
    target = numpy_dtype(dtype)
    try:
        raw = np.asarray(value)
    except (ValueError, OverflowError):
        raise ValueError(
            f"Feature `{name}` must be rows of one shape. Received: {reprlib.repr(value)}"
        ) from None
    if raw.dtype == target:
        return raw
    if raw.size == 0 or (raw.dtype.kind in _KINDS[target.kind] and _in_range(raw, target)):
        return raw.astype(target, copy=False)
    return _checked(name, value, dtype).astype(target)


# Accepted kinds of NumPy values and of Python numbers, by kind of dtype ("V" is bfloat16).
_KINDS: Final = MappingProxyType({"i": "iu", "u": "iu", "f": "iuf", "V": "iufV", "c": "iufc", "b": "b"})
_NUMBERS: Final = MappingProxyType({"f": Real, "V": Real, "c": Complex})


def _in_range(raw: Array, target: np.dtype[Any]) -> bool:
    if target.kind in "iu":
        bounds = np.iinfo(target)
        # As Python integers: NumPy compares uint64 with int64 as floats.
        return bounds.min <= int(raw.min()) and int(raw.max()) <= bounds.max
    with np.errstate(over="ignore"):
        return bool((np.isinf(raw.astype(target)) == np.isinf(raw)).all())


def _checked(name: str, value: Any, dtype: str) -> Array:
    """Validates values one by one, and names the first that isn't of the dtype."""
    values = np.asarray(value, dtype=object)
    for index, element in np.ndenumerate(values):
        if not _acceptable(element, dtype):
            where = "".join(f"[{position}]" for position in index)
            kind = type(element).__name__
            raise ValueError(
                f"Feature `{name}` must be {dtype}. Received: {name}{where}={element!r} ({kind})"
            )
    return values


def _acceptable(element: Any, dtype: str) -> bool:
    if dtype == "string":
        return isinstance(element, (str, bytes))
    if isinstance(element, (bool, np.bool_)) or dtype == "bool":
        return dtype == "bool" and isinstance(element, (bool, np.bool_))
    target = numpy_dtype(dtype)
    if target.kind in "iu":
        bounds = np.iinfo(target)
        return isinstance(element, Integral) and bounds.min <= int(element) <= bounds.max
    return isinstance(element, _NUMBERS[target.kind]) and _in_range(np.asarray(element), target)
