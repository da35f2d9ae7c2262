"""Serializes Predict requests: columns as in memory, each after a cached header.

Creating a message object per column would take longer than the rest of a request. The header of a column
depends only on its name, dtype and shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np

from keras_smes_serving.client.inputs import Array
from keras_smes_serving.protocol import messages
from keras_smes_serving.protocol.dtypes import BY_DTYPE
from keras_smes_serving.protocol.tensors import as_varint, encode_fields, header

# Tags of length-delimited fields: `PredictRequest.inputs`, key and value of a map entry, and
# `TensorProto.tensor_content`.
_INPUTS, _KEY, _VALUE, _CONTENT = (bytes([number << 3 | 2]) for number in (2, 1, 2, 4))
_TENSORS: Final = 1024


def request_bytes(request: Any, columns: Mapping[str, Array], typed_fields: bool = False) -> bytes:
    """Serializes a request and its columns.

    Args:
        request: `PredictRequest` message without inputs; strings are added to it.
        columns: mapping of str to ndarray. From `as_columns`.
        typed_fields: bool. Whether all tensors go into typed fields, as strings do. Defaults to False.

    Returns:
        bytes. The message, with its fields in any order.

    Raises:
        ValueError: A string can't be encoded in UTF-8.
    """
    blocks: list[bytes] = []
    for name, column in columns.items():
        if typed_fields or column.dtype.kind == "O":
            _encode(name, column, request)
        else:
            blocks += _entry(name, column)
    return b"".join([request.SerializeToString(), *blocks])


def _encode(name: str, column: Array, request: Any) -> None:
    try:
        encode_fields(column, request.inputs[name])
    except UnicodeEncodeError as error:  # an unpaired surrogate, such as "\\ud800"
        raise ValueError(f"Feature `{name}` must be text of UTF-8. Received: {error.object!r}") from None


def _entry(name: str, column: Array) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """An entry of the map of inputs: tag, length, key, tensor header, content."""
    key, head = _key(name), _tensor_head(column.dtype, column.shape)
    return _INPUTS, as_varint(len(key) + len(head) + column.nbytes), key, head, column.tobytes()


@lru_cache(maxsize=_TENSORS)
def _key(name: str) -> bytes:
    text = name.encode()
    return _KEY + as_varint(len(text)) + text


@lru_cache(maxsize=_TENSORS)
def _tensor_head(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The header of a tensor: its length, dtype and shape."""
    size = dtype.itemsize
    for sides in shape:
        size *= sides
    head = header(messages.Tensor, BY_DTYPE[dtype].number, shape)
    if size:
        head += _CONTENT + as_varint(size)
    return _VALUE + as_varint(len(head) + size) + head
