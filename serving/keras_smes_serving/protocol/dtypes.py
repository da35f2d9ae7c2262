"""The supported dtypes of a TensorProto, and their NumPy dtypes."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import ml_dtypes
import numpy as np


@dataclass(frozen=True)
class DType:
    """The encoding of a dtype: its DataType number, its typed field, and the dtype in that field."""

    name: str
    number: int
    field: str
    sent: np.dtype[Any]
    dtype: np.dtype[Any]


def _kind(name: str, number: int, field: str, sent: str, dtype: Any = None) -> DType:
    return DType(name, number, field, np.dtype(sent), np.dtype(name if dtype is None else dtype))


STRING: Final = _kind("string", 7, "string_val", "O", "O")
KINDS: Final = (
    _kind("float32", 1, "float_val", "<f4"),
    _kind("float64", 2, "double_val", "<f8"),
    _kind("int32", 3, "int_val", "<i4"),
    _kind("uint8", 4, "int_val", "<i4"),
    _kind("int16", 5, "int_val", "<i4"),
    _kind("int8", 6, "int_val", "<i4"),
    STRING,
    _kind("complex64", 8, "scomplex_val", "<f4"),
    _kind("int64", 9, "int64_val", "<i8"),
    _kind("bool", 10, "bool_val", "?"),
    _kind("bfloat16", 14, "half_val", "<i4", ml_dtypes.bfloat16),
    _kind("uint16", 17, "int_val", "<i4"),
    _kind("complex128", 18, "dcomplex_val", "<f8"),
    _kind("float16", 19, "half_val", "<i4"),
    _kind("uint32", 22, "uint32_val", "<u4"),
    _kind("uint64", 23, "uint64_val", "<u8"),
)
BY_NAME: Final = MappingProxyType({kind.name: kind for kind in KINDS})
BY_NUMBER: Final = MappingProxyType({kind.number: kind for kind in KINDS})
BY_DTYPE: Final = MappingProxyType({kind.dtype.newbyteorder("<"): kind for kind in KINDS})


def dtype_name(number: int) -> str:
    """Returns the NumPy name of a DataType, such as `"int64"`, or `"DataType 20"` for an unsupported one."""
    return BY_NUMBER[number].name if number in BY_NUMBER else f"DataType {number}"


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Returns the NumPy dtype of a name from `dtype_name`; object for `"string"`."""
    if name not in BY_NAME:
        raise ValueError(f"`name` must be a supported dtype. Received: name={name!r}")
    return BY_NAME[name].dtype
