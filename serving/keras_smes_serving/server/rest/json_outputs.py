"""Converts outputs to JSON in the format of TensorFlow Serving."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from keras_smes_serving.protocol.errors import reject
from keras_smes_serving.server.messages import ClassificationResult, RegressionResult
from keras_smes_serving.server.runtime.session import Array

_BYTES_SUFFIX: Final = "_bytes"
_UNSUPPORTED: Final = ("bfloat16", "float16", "complex64", "complex128", "uint16")


def predictions(outputs: Mapping[str, Array]) -> str:
    """Returns JSON with the key `predictions`, one value or object per row.

    Raises:
        ServingError: INVALID_ARGUMENT: the first dimensions of outputs differ or are missing, or a dtype is
            unsupported.
    """
    rows = _row_count(outputs)
    columns = {name: _items(name, value) for name, value in sorted(outputs.items())}
    if len(columns) == 1:
        (items,) = columns.values()
    else:
        items = [
            "{" + ", ".join(f"{_text(name)}: {column[row]}" for name, column in columns.items()) + "}"
            for row in range(rows)
        ]
    return '{\n    "predictions": [' + ", ".join(items) + "]\n}"


def outputs_by_name(outputs: Mapping[str, Array]) -> str:
    """Returns JSON with the key `outputs`: one tensor, or an object of them.

    Raises:
        ServingError: INVALID_ARGUMENT: a dtype is unsupported.
    """
    columns = {name: _tensor(name, value) for name, value in sorted(outputs.items())}
    if len(columns) == 1:
        (text,) = columns.values()
    else:
        text = "{" + ", ".join(f"{_text(name)}: {column}" for name, column in columns.items()) + "}"
    return '{\n    "outputs": ' + text + "\n}"


def classifications(result: ClassificationResult) -> str:
    """Returns JSON with the key `results`: pairs of label and score for each example."""
    rows = (
        ", ".join(f"[{_text(one.label)}, {decimal(np.float32(one.score))}]" for one in row.classes)
        for row in result.classifications
    )
    return '{\n    "results": [' + ", ".join(f"[{row}]" for row in rows) + "]\n}"


def regressions(result: RegressionResult) -> str:
    """Returns JSON with the key `results`: a number for each example."""
    values = ", ".join(decimal(np.float32(one.value)) for one in result.regressions)
    return '{\n    "results": [' + values + "]\n}"


def error_text(message: str) -> str:
    """Returns JSON with the key `error`."""
    return json.dumps({"error": message}, indent=4, ensure_ascii=False)


def decimal(value: np.floating[Any]) -> str:
    """Formats a number so that it parses to the same value, never as an integer: six digits if enough."""
    number = float(value)
    if not np.isfinite(value):
        return "NaN" if number != number else ("Infinity" if number > 0 else "-Infinity")
    text = f"{number:.6g}"
    if type(value)(text) != value:
        text = f"{number:.{9 if value.dtype == np.float32 else 17}g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _row_count(outputs: Mapping[str, Array]) -> int:
    count = None
    for name, value in sorted(outputs.items()):
        if value.ndim == 0:
            reject(f"Tensor name: {name} has no shape information ")
        if count not in (None, len(value)):
            reject(f"Tensor name: {name} has inconsistent batch size: {len(value)} expecting: {count}")
        count = len(value)
    if count is None:
        reject("Cannot convert empty tensor map to JSON")
    return count


def _items(name: str, value: Array) -> list[str]:
    """Writes each row of an output."""
    if value.ndim > 1:
        return [_tensor(name, row) for row in value]
    if value.dtype.name in _UNSUPPORTED:
        reject(f"Failed to write JSON value for tensor type: {value.dtype.name}")
    if value.dtype.kind == "f":
        return [decimal(item) for item in value]
    if value.dtype.kind == "O":
        return [_string(name, item) for item in value.tolist()]
    return [json.dumps(item) for item in value.tolist()]


def _tensor(name: str, value: Array) -> str:
    if value.ndim == 0:
        return _items(name, value.reshape(1))[0]
    return "[" + ", ".join(_items(name, value)) + "]"


def _string(name: str, value: bytes) -> str:
    if name.endswith(_BYTES_SUFFIX):
        return '{"b64": ' + _text(base64.b64encode(value).decode()) + "}"
    return _text(value.decode(errors="surrogateescape"))


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
