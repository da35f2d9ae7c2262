"""Tensors on the wire: TensorProto to NumPy and back, by the rules of TensorFlow's C++ runtime.

The rules are those of `Tensor::FromProto` and `Tensor::AsProtoField`, which TensorFlow Serving uses;
`tf.make_ndarray` differs from them. Any message with the fields of TensorProto is accepted, so neither
TensorFlow nor one set of generated classes is needed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np

from keras_smes_serving.protocol.dtypes import BY_DTYPE, BY_NUMBER, STRING, DType
from keras_smes_serving.protocol.messages import TensorShape

MAX_EXPANDED_BYTES: Final = 1 << 26
"""Maximum size of a tensor that is expanded from fewer values: a message of a few bytes can declare
terabytes, as the last value is repeated; TensorFlow Serving tries to allocate them."""

_MAX_DIMENSIONS: Final = 254
_USUAL_SHAPE_BYTES: Final = 64
_MAX_ELEMENTS: Final = 2**63 - 1


def decode(proto: Any) -> np.ndarray[Any, Any]:
    """Reads a TensorProto as TensorFlow Serving does.

    If there are fewer values than elements, the last one is repeated, or zeros if there is none. Surplus
    values are dropped.

    Args:
        proto: message with the fields of TensorProto.

    Returns:
        ndarray, possibly read-only. Strings are an object array of bytes.

    Raises:
        ValueError: The dtype is missing or unsupported, a dimension is negative or too large,
            `tensor_content` has the wrong length, or the expanded tensor exceeds `MAX_EXPANDED_BYTES`.
    """
    kind = BY_NUMBER.get(proto.dtype)
    if kind is None:
        raise ValueError(f"`dtype` must be supported. Received: dtype={proto.dtype}")
    shape, count = _shape(proto)
    if count == 0:
        return np.empty(shape, kind.dtype)
    if content := proto.tensor_content:
        return _from_content(kind, content, shape, count)
    return _from_field(kind, proto, count).reshape(shape)


def _shape(proto: Any) -> tuple[tuple[int, ...], int]:
    """The sizes of a tensor, and its number of elements."""
    data = proto.tensor_shape.SerializeToString()
    # Caches usual shapes only; long ones (dimensions may have names) would fill the cache.
    return _sizes(data) if len(data) <= _USUAL_SHAPE_BYTES else _sizes.__wrapped__(data)


@lru_cache(maxsize=1024)
def _sizes(data: bytes) -> tuple[tuple[int, ...], int]:
    shape = tuple([dim.size for dim in TensorShape.FromString(data).dim])
    count = 1
    for size in shape:
        count *= size
        # Checked at each step as in C++: a later zero doesn't undo an overflow.
        if size < 0 or count > _MAX_ELEMENTS:
            raise ValueError(f"`tensor_shape` must be sizes of a possible tensor. Received: {shape}")
    if len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"`tensor_shape` must have at most 254 dimensions. Received: {len(shape)}")
    return shape, count


def _from_content(kind: DType, content: bytes, shape: tuple[int, ...], count: int) -> np.ndarray[Any, Any]:
    if kind is STRING:
        return _split_strings(content, count).reshape(shape)
    if len(content) != count * kind.dtype.itemsize:
        raise ValueError(f"`tensor_content` must hold {count} values. Received: {len(content)} bytes")
    if kind.name == "bool" and max(content) > 1:
        raise ValueError(f"`tensor_content` of booleans must be zeros and ones. Received: {max(content)}")
    return np.ndarray(shape, kind.dtype, content)


def _split_strings(content: bytes, count: int) -> np.ndarray[Any, Any]:
    """Splits varint lengths and the strings after them."""
    lengths, position = [], 0
    if count > len(content):
        raise ValueError(f"`tensor_content` must hold {count} strings. Received: {len(content)} bytes")
    for _ in range(count):
        length, position = _varint(content, position)
        lengths.append(length)
    if (needed := position + sum(lengths)) != len(content):
        raise ValueError(
            f"`tensor_content` must hold {count} strings, {needed} bytes by their lengths. "
            f"Received: {len(content)} bytes"
        )
    strings = np.empty(count, object)
    for index, length in enumerate(lengths):
        strings[index] = content[position : position + length]
        position += length
    return strings


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value, start = 0, position
    for shift in range(0, 35, 7):
        if position == len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFF, position
    raise ValueError(
        f"`tensor_content` must start with the lengths of its strings. Received: {data[start : start + 5]!r} "
        f"as a length, at byte {start} of {len(data)}"
    )


def _from_field(kind: DType, proto: Any, count: int) -> np.ndarray[Any, Any]:
    sent = getattr(proto, kind.field)
    if kind is STRING:
        values = np.empty(len(sent), object)
        values[:] = sent
    elif isinstance(sent, bytes):  # packed floats of the client's messages
        values = _typed(kind, np.frombuffer(sent, kind.sent))
    else:
        values = _typed(kind, np.array(sent, kind.sent))
    return values[:count] if len(values) >= count else _expanded(kind, values, count)


def _typed(kind: DType, sent: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Converts the values of a typed field to those of the tensor."""
    if kind.field == "half_val":
        return sent.astype(np.uint16).view(kind.dtype)
    if kind.dtype.kind == "c":
        return sent[: len(sent) // 2 * 2].view(kind.dtype)
    return sent.astype(kind.dtype, copy=False)


def _expanded(kind: DType, values: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    if kind is STRING:
        last = values[-1] if len(values) else b""
        size = 32 + len(last)  # 8 bytes here, 24 of a tstring in the runtime, and the text
    else:
        last = values[-1] if len(values) else kind.dtype.type(0)
        size = kind.dtype.itemsize
    if count * size > MAX_EXPANDED_BYTES:
        raise ValueError(f"`tensor_shape` must be close to the number of values. Received: {count} elements")
    flat = np.full(count, last, kind.dtype)
    flat[: len(values)] = values
    return flat


def encode_fields(array: Any, proto: Any) -> None:
    """Writes an array into the typed fields of an empty TensorProto, as TensorFlow Serving does.

    Args:
        array: ndarray or scalar. Strings are bytes or str, best in an object array.
        proto: empty message with the fields of TensorProto.

    Raises:
        ValueError: The dtype isn't supported.
    """
    array, kind = _head(array, proto)
    flat = array.ravel()
    if kind.field == "half_val":
        flat = flat.view(np.uint16)
    if kind is STRING:
        proto.string_val.extend(_as_bytes(flat))
    elif kind.sent.kind == "f":
        # Packed floats have the layout of memory; writing them one by one takes a hundred times as long.
        values = flat.tobytes()
        tag = proto.DESCRIPTOR.fields_by_name[kind.field].number << 3 | 2
        proto.MergeFromString(bytes([tag]) + as_varint(len(values)) + values)
    else:
        getattr(proto, kind.field).extend(flat.tolist())


def encode_content(array: Any, proto: Any) -> None:
    """Writes an array into an empty TensorProto as one block of bytes, which is fastest.

    Strings go into `string_val`, since not every server reads their block form.

    Args:
        array: ndarray or scalar. Strings are bytes or str, best in an object array.
        proto: empty message with the fields of TensorProto.

    Raises:
        ValueError: The dtype isn't supported.
    """
    array, kind = _head(array, proto)
    if kind is STRING:
        proto.string_val.extend(_as_bytes(array.ravel()))
    else:
        proto.tensor_content = array.tobytes()


def _head(array: Any, proto: Any) -> tuple[np.ndarray[Any, Any], DType]:
    """Writes dtype and shape; returns the array to send, and its kind."""
    # NumPy's own string type would lose trailing zero bytes.
    array = np.asarray(array, object if isinstance(array, (bytes, str)) else None)
    kind = BY_DTYPE.get(array.dtype)
    if kind is None:
        array, kind = _as_sent(array)
    message: Any = type(proto)
    proto.MergeFromString(header(message, kind.number, array.shape))
    return array, kind


def _as_sent(array: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], DType]:
    """Returns the kind of NumPy strings, and of numbers in the other byte order, which are converted."""
    if array.dtype.kind in "SU":
        return array, STRING
    dtype = array.dtype.newbyteorder("<")
    if dtype not in BY_DTYPE:
        raise ValueError(f"`array` must have a supported dtype. Received: {array.dtype}")
    return array.astype(dtype), BY_DTYPE[dtype]


@lru_cache(maxsize=1024)
def header(message: Any, number: int, shape: tuple[int, ...]) -> bytes:
    """Returns the serialized dtype and shape of a tensor, cached."""
    proto = message(dtype=number)
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    data: bytes = proto.SerializeToString()
    return data


def _as_bytes(strings: np.ndarray[Any, Any]) -> list[bytes]:
    return [text.encode() if isinstance(text, str) else bytes(text) for text in strings.tolist()]


@lru_cache(maxsize=1024)
def as_varint(value: int) -> bytes:
    """Encodes a length as a protobuf varint: seven bits per byte, the lowest first."""
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])
