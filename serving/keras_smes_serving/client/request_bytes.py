"""A Predict request as bytes: columns as they lie in memory, each behind a head that many share.

A message object for every column takes longer than all the rest of a request. What stands before a
column's content follows from its name, its dtype and its shape, and is kept.
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

# Field numbers as they are written before a field of some length: `PredictRequest.inputs`, key and
# value of an entry in that map, and `TensorProto.tensor_content`.
_INPUTS, _KEY, _VALUE, _CONTENT = (bytes([number << 3 | 2]) for number in (2, 1, 2, 4))
_TENSORS: Final = 1024


def request_bytes(request: Any, columns: Mapping[str, Array], typed_fields: bool = False) -> bytes:
    """Serializes a request and its columns.

    Args:
        request: `PredictRequest` message of `wire`, without inputs. Some are put into it.
        columns: mapping of str to ndarray. As `as_columns` makes them.
        typed_fields: bool. Whether all tensors go into typed fields, as strings do. Defaults to False.

    Returns:
        bytes. The message; the order of its fields is of no account.

    Raises:
        ValueError: A string can't be written in UTF-8.

    Example:

    ```python
    request_bytes(messages.PredictRequest(), {"user_id": np.array([7, 8])})
    ```
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
    except UnicodeEncodeError as error:  # half a character, such as "\\ud800"
        raise ValueError(f"Feature `{name}` must be text of UTF-8. Received: {error.object!r}") from None


def _entry(name: str, column: Array) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """An entry of the map of inputs: tag, length, key, head of the tensor, content."""
    key, head = _key(name), _tensor_head(column.dtype, column.shape)
    return _INPUTS, as_varint(len(key) + len(head) + column.nbytes), key, head, column.tobytes()


@lru_cache(maxsize=_TENSORS)
def _key(name: str) -> bytes:
    text = name.encode()
    return _KEY + as_varint(len(text)) + text


@lru_cache(maxsize=_TENSORS)
def _tensor_head(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The value of an entry up to its content: its length, dtype and shape."""
    size = dtype.itemsize
    for sides in shape:
        size *= sides
    head = header(messages.Tensor, BY_DTYPE[dtype].number, shape)
    if size:
        head += _CONTENT + as_varint(size)
    return _VALUE + as_varint(len(head) + size) + head
