"""Our own description of the messages, held against that of the package of TensorFlow Serving."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import wrappers_pb2
from google.protobuf.any_pb2 import Any
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2, predict_pb2

from keras_smes_serving.client import Client
from keras_smes_serving.client.request_bytes import request_bytes
from keras_smes_serving.protocol import messages
from keras_smes_serving.protocol.dtypes import KINDS
from keras_smes_serving.protocol.tensors import decode, encode_content, encode_fields

THEIRS = {
    "Any": Any,
    "Int64Value": wrappers_pb2.Int64Value,
    "TensorShape": tensor_shape_pb2.TensorShapeProto,
    "Dim": tensor_shape_pb2.TensorShapeProto.Dim,
    "Tensor": tensor_pb2.TensorProto,
    "TensorInfo": meta_graph_pb2.TensorInfo,
    "SignatureDef": meta_graph_pb2.SignatureDef,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
    "ModelVersionStatus": get_model_status_pb2.ModelVersionStatus,
    "Status": get_model_status_pb2.ModelVersionStatus().status.__class__,
}
OURS = messages.PredictRequest.DESCRIPTOR.file.message_types_by_name
PACKED = ("float_val", "double_val", "scomplex_val", "dcomplex_val")  # read as blocks of bytes


def test_every_message_is_compared():
    assert set(OURS) == set(THEIRS)


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_fields_have_the_numbers_and_types_of_the_api(name):
    for field in OURS[name].fields:
        theirs = THEIRS[name].DESCRIPTOR.fields_by_name[field.name]
        if field.name in PACKED:
            assert (field.number, theirs.is_packed) == (theirs.number, True)
            continue
        kinds = (field.cpp_type, theirs.cpp_type)
        enum = kinds == (field.CPPTYPE_INT32, field.CPPTYPE_ENUM)
        assert enum or kinds[0] == kinds[1]
        assert (field.number, field.is_repeated) == (theirs.number, theirs.is_repeated)
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            assert THEIRS[field.message_type.name].DESCRIPTOR is theirs.message_type


def test_states_have_the_names_of_the_api():
    assert dict(get_model_status_pb2.ModelVersionStatus.State.items()) == {
        name: number for number, name in messages.STATES.items()
    }


def arrays():
    for kind in KINDS:
        if kind.name == "string":
            yield np.array([["a", b"\x00\xff"]], object)
        elif kind.name == "bool":
            yield np.array([[True, False]])
        else:
            yield np.array([[1.5, 3.0], [7.0, 0.0]]).astype(kind.dtype)


@pytest.mark.parametrize("encode", [encode_content, encode_fields])
@pytest.mark.parametrize("array", list(arrays()), ids=lambda array: str(array.dtype))
def test_tensors_are_those_of_tensorflow_both_ways(array, encode):
    sent = messages.PredictRequest()
    encode(array, sent.inputs["x"])
    theirs = predict_pb2.PredictRequest.FromString(sent.SerializeToString()).inputs["x"]
    np.testing.assert_array_equal(tf.make_ndarray(theirs), tf.make_ndarray(tf.make_tensor_proto(array)))
    answer = predict_pb2.PredictResponse()
    encode(array, answer.outputs["y"])
    read = decode(messages.PredictResponse.FromString(answer.SerializeToString()).outputs["y"])
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, tf.make_ndarray(theirs))


@pytest.mark.parametrize("typed_fields", [False, True])
@pytest.mark.parametrize("array", list(arrays()), ids=lambda array: str(array.dtype))
def test_columns_are_those_of_tensorflow(array, typed_fields):
    """Lengths of one byte and of more, no rows, no dimension, and memory that isn't in a row."""
    columns = {
        "x": array,
        "long name " * 20: np.repeat(array, 300, axis=0),
        "empty": array[:0],
        "scalar": array[0, 0, ...],
        "backwards": array[:, ::-1],
    }
    request = messages.PredictRequest(model_spec=messages.ModelSpec(name="m"), output_filter=["y"])
    data = request_bytes(request, columns, typed_fields)
    theirs = predict_pb2.PredictRequest.FromString(data)
    assert (theirs.model_spec.name, list(theirs.output_filter)) == ("m", ["y"])
    assert set(theirs.inputs) == set(columns)
    for name, column in columns.items():
        expected = tf.make_ndarray(tf.make_tensor_proto(column, shape=column.shape))
        np.testing.assert_array_equal(tf.make_ndarray(theirs.inputs[name]), expected)


@pytest.mark.parametrize("typed_fields", [False, True])
def test_a_request_is_what_the_api_parses(server, typed_fields):
    inputs = {"user": [7, 8], "city": ["oslo", b"rome"], "dense": np.ones((2, 4), "float32")}
    with Client(server.address, typed_fields=typed_fields) as client:
        data = client.build("ranker", inputs, outputs=["like", "click"], version=123)
    request = predict_pb2.PredictRequest.FromString(data)
    assert (request.model_spec.name, request.model_spec.version.value) == ("ranker", 123)
    assert request.model_spec.signature_name == "serving_default"
    assert request.output_filter == ["like", "click"]
    assert tf.make_ndarray(request.inputs["user"]).tolist() == [7, 8]
    assert tf.make_ndarray(request.inputs["city"]).tolist() == [b"oslo", b"rome"]
    assert bool(request.inputs["dense"].float_val) is typed_fields
    np.testing.assert_array_equal(tf.make_ndarray(request.inputs["dense"]), inputs["dense"])
