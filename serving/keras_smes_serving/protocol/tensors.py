"""Tensors on the wire: TensorProto to NumPy and back, by the rules of TensorFlow's C++ runtime.

The rules are those of `Tensor::FromProto` and `Tensor::AsProtoField`, which TensorFlow Serving
uses; `tf.make_ndarray` differs from them. Any message with the fields of TensorProto will do, so
that neither TensorFlow nor one set of generated classes is needed here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np

from keras_smes_serving.protocol.dtypes import BY_DTYPE, BY_NUMBER, STRING, Kind
from keras_smes_serving.protocol.messages import TensorShape

MAX_EXPANDED_BYTES: Final = 1 << 26
"""Bytes that a tensor may grow to beyond the values sent. A message of a few bytes can declare
terabytes (the last value is repeated); TensorFlow Serving tries to allocate them."""

_MAX_DIMENSIONS: Final = 254
_USUAL_SHAPE_BYTES: Final = 64
_MAX_ELEMENTS: Final = 2**63 - 1


def decode(proto: Any) -> np.ndarray[Any, Any]:
    """Reads a TensorProto the way TensorFlow Serving does.

    Fewer values than the shape asks for: the last one is repeated, or zeros if there is none.
    More values: the rest is dropped.

    Args:
        proto: message with the fields of TensorProto.

    Returns:
        ndarray. Strings come as an object array of bytes. The array may be read-only.

    Raises:
        ValueError: The message is no tensor: no or unknown dtype, a negative or too large
            dimension, `tensor_content` of the wrong length, or a shape that would make
            `MAX_EXPANDED_BYTES` out of next to nothing.

    Example:

    ```python
    decode(tf.make_tensor_proto([1, 2, 3]))
    ```
    """
    kind = BY_NUMBER.get(proto.dtype)
    if kind is None:
        raise ValueError(f"`dtype` must be one that is carried here. Received: dtype={proto.dtype}")
    shape, count = _shape(proto)
    if count == 0:
        return np.empty(shape, kind.dtype)
    if content := proto.tensor_content:
        return _from_content(kind, content, shape, count)
    return _from_field(kind, proto, count).reshape(shape)


def _shape(proto: Any) -> tuple[tuple[int, ...], int]:
    """The sizes of a tensor, and how many elements that makes."""
    data = proto.tensor_shape.SerializeToString()
    # The same few shapes come again and again; long ones (dimensions may have names) aren't kept.
    return _sizes(data) if len(data) <= _USUAL_SHAPE_BYTES else _sizes.__wrapped__(data)


@lru_cache(maxsize=1024)
def _sizes(data: bytes) -> tuple[tuple[int, ...], int]:
    shape = tuple([dim.size for dim in TensorShape.FromString(data).dim])
    count = 1
    for size in shape:
        count *= size
        # Step by step as in C++: a zero further on doesn't save an overflow before it.
        if size < 0 or count > _MAX_ELEMENTS:
            raise ValueError(f"`tensor_shape` must be sizes of a possible tensor. Received: {shape}")
    if len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"`tensor_shape` must have at most 254 dimensions. Received: {len(shape)}")
    return shape, count


def _from_content(kind: Kind, content: bytes, shape: tuple[int, ...], count: int) -> np.ndarray[Any, Any]:
    if kind is STRING:
        return _split_strings(content, count).reshape(shape)
    if len(content) != count * kind.dtype.itemsize:
        raise ValueError(f"`tensor_content` must hold {count} values. Received: {len(content)} bytes")
    if kind.name == "bool" and max(content) > 1:
        raise ValueError(f"`tensor_content` of booleans must be zeros and ones. Received: {max(content)}")
    return np.ndarray(shape, kind.dtype, content)


def _split_strings(content: bytes, count: int) -> np.ndarray[Any, Any]:
    """Reads `count` varint lengths, then the strings themselves."""
    lengths, position = [], 0
    if count > len(content):
        raise ValueError(f"`tensor_content` must hold {count} strings. Received: {len(content)} bytes")
    for _ in range(count):
        length, position = _varint(content, position)
        lengths.append(length)
    if position + sum(lengths) != len(content):
        raise ValueError(f"`tensor_content` must hold {count} strings. Received: other lengths")
    strings = np.empty(count, object)
    for index, length in enumerate(lengths):
        strings[index] = content[position : position + length]
        position += length
    return strings


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if position == len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFF, position
    raise ValueError("`tensor_content` must start with the lengths of its strings")


def _from_field(kind: Kind, proto: Any, count: int) -> np.ndarray[Any, Any]:
    sent = getattr(proto, kind.field)
    if kind is STRING:
        values = np.empty(len(sent), object)
        values[:] = sent
    elif isinstance(sent, bytes):  # floats as they lie in the message, see `wire`
        values = _typed(kind, np.frombuffer(sent, kind.sent))
    else:
        values = _typed(kind, np.array(sent, kind.sent))
    return values[:count] if len(values) >= count else _expanded(kind, values, count)


def _typed(kind: Kind, sent: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Turns the values of a typed field into those of the tensor."""
    if kind.field == "half_val":
        return sent.astype(np.uint16).view(kind.dtype)
    if kind.dtype.kind == "c":
        return sent[: len(sent) // 2 * 2].view(kind.dtype)
    return sent.astype(kind.dtype, copy=False)


def _expanded(kind: Kind, values: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    if kind is STRING:
        last = values[-1] if len(values) else b""
        size = 32 + len(last)  # 8 bytes here, 24 of a tstring in the runtime, and the text
    else:
        last = values[-1] if len(values) else kind.dtype.type(0)
        size = kind.dtype.itemsize
    if count * size > MAX_EXPANDED_BYTES:
        raise ValueError(f"`tensor_shape` must be near what was sent. Received: {count} elements")
    flat = np.full(count, last, kind.dtype)
    flat[: len(values)] = values
    return flat


def encode_fields(array: Any, proto: Any) -> None:
    """Writes an array into the typed fields of a TensorProto, as TensorFlow Serving answers.

    Args:
        array: ndarray or scalar. Strings are bytes or str, best in an object array.
        proto: empty message with the fields of TensorProto, which is filled.

    Raises:
        ValueError: The dtype isn't carried here.

    Example:

    ```python
    encode_fields(scores, response.outputs["click"])
    ```
    """
    array, kind = _head(array, proto)
    flat = array.ravel()
    if kind.field == "half_val":
        flat = flat.view(np.uint16)
    if kind is STRING:
        proto.string_val.extend(_as_bytes(flat))
    elif kind.sent.kind == "f":
        # Floats are laid out in the message as in memory; one by one they take a hundred times
        # as long.
        values = flat.tobytes()
        tag = proto.DESCRIPTOR.fields_by_name[kind.field].number << 3 | 2
        proto.MergeFromString(bytes([tag]) + as_varint(len(values)) + values)
    else:
        getattr(proto, kind.field).extend(flat.tolist())


def encode_content(array: Any, proto: Any) -> None:
    """Writes an array into a TensorProto as one block of bytes, the fastest way for a request.

    Strings go into `string_val`: their block form isn't read by every server.

    Args:
        array: ndarray or scalar. Strings are bytes or str, best in an object array.
        proto: empty message with the fields of TensorProto, which is filled.

    Raises:
        ValueError: The dtype isn't carried here.

    Example:

    ```python
    encode_content(user_ids, request.inputs["user_id"])
    ```
    """
    array, kind = _head(array, proto)
    if kind is STRING:
        proto.string_val.extend(_as_bytes(array.ravel()))
    else:
        proto.tensor_content = array.tobytes()


def _head(array: Any, proto: Any) -> tuple[np.ndarray[Any, Any], Kind]:
    """Writes dtype and shape; returns the array as it goes out, and its kind."""
    # NumPy's own type for a single text would lose zero bytes at its end.
    array = np.asarray(array, object if isinstance(array, (bytes, str)) else None)
    kind = BY_DTYPE.get(array.dtype)
    if kind is None:
        array, kind = _as_sent(array)
    message: Any = type(proto)
    proto.MergeFromString(header(message, kind.number, array.shape))
    return array, kind


def _as_sent(array: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], Kind]:
    """Finds the kind of NumPy's texts, and of numbers in the other byte order, which are turned."""
    if array.dtype.kind in "SU":
        return array, STRING
    dtype = array.dtype.newbyteorder("<")
    if dtype not in BY_DTYPE:
        raise ValueError(f"`array` must have a dtype that is carried here. Received: {array.dtype}")
    return array.astype(dtype), BY_DTYPE[dtype]


@lru_cache(maxsize=1024)
def header(message: Any, number: int, shape: tuple[int, ...]) -> bytes:
    """Dtype and shape as they lie in a message: many tensors share them, and writing takes long."""
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
    """Writes a number as lengths are written in a message: seven bits a byte, the lowest first."""
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])
