"""The contract over real gRPC, asked with the generated stubs alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from keras_smes_serving.server.embedded import EmbeddedServer

INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
BIG_ID = 2**53 + 1  # not a float64


def features(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "user": random.integers(0, 2**62, rows),
        "city": random.choice(np.array([b"oslo", b"rome", b"elsewhere"], object), rows),
        "dense": random.normal(size=(rows, 4)).astype("float32"),
    }


def ask(
    inputs: dict, model: str | None = "ranker", signature: str = "", outputs=(), **spec
) -> PredictRequest:
    request = PredictRequest(output_filter=outputs)
    if model is not None:
        request.model_spec.name = model
        request.model_spec.signature_name = signature
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    for name, value in inputs.items():
        proto = value if isinstance(value, TensorProto) else tf.make_tensor_proto(value)
        request.inputs[name].CopyFrom(proto)
    return request


def refusal(call, request, timeout: float = 30.0) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=timeout)
    return caught.value.code(), caught.value.details()


def test_a_request_without_a_deadline_is_answered(prediction):
    assert len(prediction.Predict(ask(features(3))).outputs["click"].float_val) == 3


@pytest.mark.parametrize("rows", [0, 1, 7, 500])
def test_answers_equal_the_function_itself(prediction, ranker, rows):
    inputs = features(rows)
    response = prediction.Predict(ask(inputs), timeout=30)
    expected = ranker.score(**{name: tf.constant(value) for name, value in inputs.items()})
    assert set(response.outputs) == set(expected)
    for name, value in expected.items():
        equal = np.array_equal if value.dtype in (tf.string, tf.int64) else np.allclose
        assert equal(tf.make_ndarray(response.outputs[name]), value.numpy()), name


def test_the_answer_names_model_version_and_signature_and_uses_typed_fields(prediction):
    response = prediction.Predict(ask(features(3)), timeout=30)
    assert response.model_spec.name == "ranker"
    assert response.model_spec.version.value == 123
    assert response.model_spec.signature_name == "serving_default"
    assert len(response.outputs["click"].float_val) == 3
    assert not response.outputs["click"].tensor_content


def test_ids_keep_all_their_bits(prediction):
    inputs = {**features(2), "user": np.array([BIG_ID, -(2**63)])}
    response = prediction.Predict(ask(inputs, outputs=["user_again"]), timeout=30)
    assert list(response.outputs["user_again"].int64_val) == [BIG_ID, -(2**63)]


def test_output_filter_and_version_and_signature(prediction):
    request = ask({"x": [1.5]}, signature="double", outputs=["y"], version=123)
    response = prediction.Predict(request, timeout=30)
    assert list(response.outputs["y"].float_val) == [3.0]
    assert response.model_spec.signature_name == "double"


def test_an_input_with_a_default_may_be_left_out(prediction):
    x = np.array([2.0], "float32")
    left_out = prediction.Predict(ask({"x": x}, signature="scaled"), timeout=30)
    given = prediction.Predict(
        ask({"x": x, "factor": np.array([5.0], "float32")}, signature="scaled"), timeout=30
    )
    assert list(left_out.outputs["y"].float_val) == [6.0]
    assert list(given.outputs["y"].float_val) == [10.0]


GOOD = features(2)
X = np.array([1.0], "float32")
REFUSALS = {
    "no spec": (ask({}, model=None), INVALID, "Missing ModelSpec"),
    "no name": (ask(GOOD, model=""), INVALID, "ModelSpec has no name specified."),
    "model": (ask(GOOD, model="other"), MISSING, "Servable not found for request: Latest(other)"),
    "version": (ask(GOOD, version=7), MISSING, "Servable not found for request: Specific(ranker, 7)"),
    "version 0": (ask(GOOD, version=0), MISSING, "Servable not found for request: Specific(ranker, 0)"),
    "label": (ask(GOOD, label="canary"), INVALID, "Unrecognized servable version label: canary"),
    "empty label": (ask(GOOD, label=""), INVALID, "Unrecognized servable version label: "),
    "signature": (
        ask(GOOD, signature="nope"),
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "nope" not found.',
    ),
    "too few": (
        ask({"user": [1], "city": ["a"]}),
        INVALID,
        "input size does not match signature: 2!=3 len({city,user}) != len({city,dense,user}). "
        "Sent extra: {}. Missing but required: {dense}.",
    ),
    "too many": (
        ask({"x": X, "a": X}, signature="double"),
        INVALID,
        "input size does not match signature: 2!=1 len({a,x}) != len({x}). "
        "Sent extra: {a}. Missing but required: {}.",
    ),
    "alias": (
        ask({"z": X}, signature="double"),
        INVALID,
        "Signature input alias: x(feed name: double_x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {z}, or default input alias set: ",
    ),
    "alias beside a default": (
        ask({"factor": X}, signature="scaled"),
        INVALID,
        "Signature input alias: x(feed name: scaled_x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {factor}, or default input alias set: factor",
    ),
    "extra beside a default": (
        ask({"x": X, "z": X}, signature="scaled"),
        INVALID,
        "Inputs contains invalid name. Used request inputs: x, request input: x,z",
    ),
    "no tensor": (
        ask({"x": TensorProto(dtype=1, tensor_content=b"123")}, signature="double"),
        INVALID,
        "tensor parsing error: x",
    ),
    "no dtype": (ask({"x": TensorProto()}, signature="double"), INVALID, "tensor parsing error: x"),
    "dtype": (
        ask({"x": np.array([1.0], "float64")}, signature="double"),
        INVALID,
        "Expects arg[0] to be float but double is provided",
    ),
    "dtype of the third": (
        ask({**GOOD, "user": [1.0, 2.0]}),
        INVALID,
        "Expects arg[2] to be int64 but float is provided",
    ),
    "output": (
        ask({"x": X}, signature="double", outputs=["nope"]),
        INVALID,
        "output tensor alias not found in signature: nope Outputs expected to be in the set {y}.",
    ),
    "output twice": (
        ask({"x": X}, signature="double", outputs=["y", "y"]),
        INVALID,
        "duplicate output tensor alias: y",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_predict_refuses_as_tensorflow_serving_does(prediction, case):
    request, code, text = REFUSALS[case]
    assert refusal(prediction.Predict, request) == (code, text)


def test_a_failing_op_gives_the_text_of_the_runtime(prediction):
    code, text = refusal(prediction.Predict, ask({**GOOD, "dense": np.ones((2, 5), "float32")}))
    assert code == INVALID
    assert text.startswith("Matrix size-incompatible: In[0]: [2,5], In[1]: [4,1]\n\t [[{{")


def test_long_texts_are_cut(prediction):
    code, text = refusal(prediction.Predict, ask(GOOD, model="m" * 2000))
    assert code == MISSING
    assert text == ("Servable not found for request: Latest(" + "m" * 2000)[:1024] + "...TRUNCATED"


def test_the_deadline_of_the_call_ends_the_run(prediction):
    request = ask({"steps": np.int64(10**9)}, signature="slow")
    assert refusal(prediction.Predict, request, timeout=0.3)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    # The run itself ended too: otherwise stopping the server would wait for it.


def test_messages_beyond_four_mebibytes_pass_both_ways(prediction):
    x = np.arange(2_000_000, dtype="float32")
    response = prediction.Predict(ask({"x": x}, signature="double"), timeout=30)
    assert np.array_equal(np.array(response.outputs["y"].float_val, "float32"), 2 * x)


def test_a_terabyte_declared_is_refused_at_once(prediction):
    proto = TensorProto(dtype=1, float_val=[1.0])
    proto.tensor_shape.dim.add(size=2**38)
    assert refusal(prediction.Predict, ask({"x": proto}, signature="double")) == (
        INVALID,
        "tensor parsing error: x",
    )


def test_answers_of_many_threads_are_not_mixed(prediction, ranker):
    def exchange(seed: int) -> bool:
        inputs = features(1 + seed % 5, seed)
        wanted = ["click"] if seed % 2 else ["like", "user_again"]
        response = prediction.Predict(ask(inputs, outputs=wanted), timeout=30)
        expected = ranker.score(**{name: tf.constant(value) for name, value in inputs.items()})
        got = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
        return set(got) == set(wanted) and all(np.allclose(got[name], expected[name]) for name in wanted)

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(exchange, range(300)))


def test_requests_beyond_the_threads_wait(base_path):
    narrow = EmbeddedServer("ranker", base_path, max_threads=1)
    with narrow, grpc.insecure_channel(narrow.address) as channel:
        stub = PredictionServiceStub(channel)
        request = ask({"steps": np.int64(2000)}, signature="slow")
        calls = [stub.Predict.future(request, timeout=30) for _ in range(16)]
        assert [call.code() for call in calls] == [grpc.StatusCode.OK] * 16


def test_metadata_lists_the_signatures(prediction):
    request = GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "ranker"
    response = prediction.GetModelMetadata(request, timeout=30)
    signatures = SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert response.model_spec.version.value == 123
    assert not response.model_spec.signature_name
    score = signatures.signature_def["serving_default"]
    assert {name: info.dtype for name, info in score.inputs.items()} == {"user": 9, "city": 7, "dense": 1}
    assert list(signatures.signature_def["scaled"].defaults) == ["factor"]
    assert "__saved_model_init_op" in signatures.signature_def


@pytest.mark.parametrize(
    ("name", "fields", "code", "text"),
    [
        (None, ["signature_def"], INVALID, "Missing ModelSpec"),
        ("ranker", [], INVALID, "GetModelMetadataRequest must specify at least one metadata_field"),
        ("ranker", ["nope"], INVALID, "Metadata field nope is not supported"),
        ("", ["signature_def"], INVALID, "ModelSpec has no name specified."),
        ("other", ["signature_def"], MISSING, "Servable not found for request: Latest(other)"),
    ],
)
def test_metadata_refusals(prediction, name, fields, code, text):
    request = GetModelMetadataRequest(metadata_field=fields)
    if name is not None:
        request.model_spec.name = name
    assert refusal(prediction.GetModelMetadata, request) == (code, text)


@pytest.mark.parametrize("version", [None, 123])
def test_status_of_the_model(models, version):
    request = GetModelStatusRequest()
    request.model_spec.name = "ranker"
    if version is not None:
        request.model_spec.version.value = version
    (status,) = models.GetModelStatus(request, timeout=30).model_version_status
    assert (status.version, status.state, status.status.error_code) == (123, 30, 0)
    assert status.HasField("status")


@pytest.mark.parametrize(
    ("name", "version", "code", "text"),
    [
        (None, None, INVALID, "Missing ModelSpec"),
        ("other", None, MISSING, "Could not find any versions of model other"),
        ("ranker", 9, MISSING, "Could not find version 9 of model ranker"),
    ],
)
def test_status_refusals(models, name, version, code, text):
    request = GetModelStatusRequest()
    if name is not None:
        request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    assert refusal(models.GetModelStatus, request) == (code, text)


def test_what_the_api_does_not_have_is_unimplemented(channel):
    call = channel.unary_unary("/tensorflow.serving.PredictionService/PredictStreamed")
    assert refusal(call, b"")[0] == grpc.StatusCode.UNIMPLEMENTED


def test_a_taken_port_is_an_error(server, base_path):
    with pytest.raises(RuntimeError, match="bind"):
        EmbeddedServer("again", base_path, port=server.port).start()


@pytest.mark.parametrize("arguments", [{"port": 70000}, {"max_threads": -1}])
def test_sizes_that_cannot_work_are_refused(base_path, arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"`{name}` must .* Received: {name}={value}"):
        EmbeddedServer("ranker", base_path, **arguments)
