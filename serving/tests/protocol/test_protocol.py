"""The oracle is TensorFlow's own C++ decoder, reached through `tf.io.parse_tensor`."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework.tensor_pb2 import TensorProto

from keras_smes_serving.protocol import tensors

DTYPES = [
    tf.float32, tf.float64, tf.int32, tf.uint8, tf.int16, tf.int8, tf.string, tf.complex64, tf.int64,
    tf.bool, tf.bfloat16, tf.uint16, tf.complex128, tf.float16, tf.uint32, tf.uint64,
]  # fmt: skip
FIELDS = {
    tf.float32: "float_val", tf.float64: "double_val", tf.string: "string_val", tf.complex64: "scomplex_val",
    tf.int64: "int64_val", tf.bool: "bool_val", tf.bfloat16: "half_val", tf.complex128: "dcomplex_val",
    tf.float16: "half_val", tf.uint32: "uint32_val", tf.uint64: "uint64_val",
}  # fmt: skip


def message(dtype: tf.DType | int, shape: list[int], **fields: object) -> TensorProto:
    number = dtype if isinstance(dtype, int) else dtype.as_datatype_enum
    proto = TensorProto(dtype=number, **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def by_runtime(proto: TensorProto) -> np.ndarray | None:
    """What the C++ runtime makes of a message; None if it can't be parsed."""
    try:
        return tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(proto.dtype)).numpy()
    except (tf.errors.InvalidArgumentError, TypeError):
        return None


def values_for(dtype: tf.DType, count: int) -> list:
    if dtype == tf.string:
        return [b"text %d" % index for index in range(count)]
    if dtype == tf.bool:
        return [index % 2 == 0 for index in range(count)]
    # 300 doesn't fit uint8 or int8: the runtime wraps it.
    return [index * 3 + 300 for index in range(count)]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 9])
def test_typed_fields_are_filled_up_or_cut_like_the_runtime_does(dtype, count):
    proto = message(dtype, [2, 3], **{FIELDS.get(dtype, "int_val"): values_for(dtype, count)})
    np.testing.assert_array_equal(tensors.decode(proto), by_runtime(proto), strict=True)


def test_few_values_by_hand():
    two = message(tf.float32, [4], float_val=[1.0, 2.0])
    assert tensors.decode(two).tolist() == [1.0, 2.0, 2.0, 2.0]
    assert tensors.decode(message(tf.int64, [3])).tolist() == [0, 0, 0]
    assert tensors.decode(message(tf.string, [2])).tolist() == [b"", b""]
    assert tensors.decode(message(tf.int64, [2], float_val=[7.0])).tolist() == [0, 0], "another field"


def test_too_many_values_are_cut_where_make_ndarray_raises():
    proto = message(tf.float32, [2], float_val=[1.0, 2.0, 3.0])
    assert tensors.decode(proto).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match=r"reshape|negative"):
        tf.make_ndarray(proto)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_content_agrees_with_make_ndarray(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype.as_numpy_dtype)
    proto = tf.make_tensor_proto(array.astype(str) if dtype == tf.string else array)
    np.testing.assert_array_equal(tensors.decode(proto), tf.make_ndarray(proto), strict=True)


@pytest.mark.parametrize(
    "proto",
    [
        message(0, [1], float_val=[1.0]),
        message(tf.resource, [1]),
        message(999, [1]),
        message(999, [0]),
        message(tf.float32, [-1], float_val=[1.0]),
        message(tf.float32, [2], tensor_content=b"1234567"),
        message(tf.float32, [2], tensor_content=b"123456789"),
        message(tf.float32, [2**40], float_val=[1.0]),
        message(tf.float32, [2**62, 2**62, 0]),
        message(tf.float32, [1] * 255, float_val=[1.0]),
        message(tf.bool, [2], tensor_content=b"\x01\x02"),
        message(tf.string, [2], tensor_content=b"\x01\x05a"),
        message(tf.string, [2**40], tensor_content=b"\x01\x01ab"),
        message(tf.string, [1], tensor_content=b"\xff\xff\xff\xff\xff\xff"),
        message(tf.string, [2**18], string_val=[b"x" * 2**12]),
    ],
    ids=lambda proto: str(proto).replace("\n", " ")[:40],
)
def test_what_is_no_tensor_is_refused(proto):
    with pytest.raises(ValueError, match="Received"):
        tensors.decode(proto)


def test_a_declared_shape_costs_no_memory_beyond_the_limit():
    size = tensors.MAX_EXPANDED_BYTES // 4
    assert tensors.decode(message(tf.float32, [size], float_val=[1.0])).nbytes == size * 4
    with pytest.raises(ValueError, match=r"close to the number of values"):
        tensors.decode(message(tf.float32, [size + 1], float_val=[1.0]))


def test_scalars_and_unknown_rank():
    assert tensors.decode(message(tf.int64, [], int64_val=[2**62])) == 2**62
    proto = message(tf.float32, [], float_val=[5.0])
    proto.tensor_shape.unknown_rank = True
    np.testing.assert_array_equal(tensors.decode(proto), by_runtime(proto), strict=True)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(-1, 4), max_size=3),
    content=st.binary(max_size=24),
    count=st.integers(0, 5),
)
def test_any_message_means_what_it_means_to_the_runtime(dtype, shape, content, count):
    values = {FIELDS.get(dtype, "int_val"): values_for(dtype, count)}
    proto = message(dtype, shape, tensor_content=content, **values)
    expected = by_runtime(proto)
    try:
        decoded = tensors.decode(proto)
    except ValueError:
        assert expected is None
        return
    assert expected is not None
    if dtype == tf.string:
        assert decoded.tolist() == np.asarray(expected, object).tolist()
    else:  # as bytes, for random content holds NaNs
        assert (decoded.dtype, decoded.shape) == (expected.dtype, expected.shape)
        assert decoded.tobytes() == expected.tobytes()


@pytest.mark.parametrize("encode", [tensors.encode_fields, tensors.encode_content])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
def test_the_runtime_reads_what_is_encoded(encode, shape, dtype):
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    array = numbers.astype(dtype.as_numpy_dtype)
    if dtype == tf.string:
        array = numbers.astype("S").astype(object)
    proto = TensorProto()
    encode(array, proto)
    read = tf.io.parse_tensor(proto.SerializeToString(), dtype)
    assert read.shape == shape
    np.testing.assert_array_equal(read.numpy(), array)


def test_answers_use_the_typed_field_and_requests_the_block():
    scores = np.random.default_rng(0).normal(size=(500, 3)).astype("float32")
    answer, request = TensorProto(), TensorProto()
    tensors.encode_fields(scores, answer)
    tensors.encode_content(scores[:, ::2], request)
    assert not answer.tensor_content
    assert np.array_equal(np.array(answer.float_val, "float32"), scores.ravel())
    assert np.array_equal(tf.make_ndarray(request), scores[:, ::2])


def test_texts_may_be_str_and_big_endian_numbers_are_turned():
    proto = TensorProto()
    tensors.encode_content(["é", b"x"], proto)
    assert list(proto.string_val) == ["é".encode(), b"x"]
    proto = TensorProto()
    tensors.encode_content(np.array([1, 2**40], ">i8"), proto)
    assert tf.make_ndarray(proto).tolist() == [1, 2**40]


def test_a_single_text_keeps_its_zero_bytes():
    proto = TensorProto()
    tensors.encode_fields(b"x\0", proto)
    assert list(proto.string_val) == [b"x\0"]
    assert tf.make_ndarray(proto).shape == ()


def test_what_cannot_be_encoded_is_named():
    with pytest.raises(ValueError, match=r"Received: datetime64"):
        tensors.encode_fields(np.array(["2026-01-01"], "datetime64[D]"), TensorProto())
