"""Requests that nobody should send: no crash, no hang, and valid ones beside them are answered."""

from __future__ import annotations

import os
import random
import resource
import struct
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf
from serving_support.living_models import Asking, publish
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from keras_smes_serving.server.embedded import EmbeddedServer

COUNT = int(os.environ.get("MALFORMED_REQUESTS", "2000"))
METHOD = "/tensorflow.serving.PredictionService/Predict"
OK, INVALID = grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND, PRECONDITION = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION
NO_MESSAGE = grpc.StatusCode.INTERNAL  # gRPC's word for bytes that are none


def valid() -> PredictRequest:
    request = PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
    return request


def wrong_dtype(request: PredictRequest, draw: random.Random) -> bytes:
    request.inputs["x"].dtype = draw.choice([0, 2, 3, 7, 9, 10, 14, 20, 21, 23, 101, 999])
    return request.SerializeToString()


def huge_shape(request: PredictRequest, draw: random.Random) -> bytes:
    del request.inputs["x"].tensor_shape.dim[:]
    for _ in range(draw.randrange(1, 300)):
        request.inputs["x"].tensor_shape.dim.add(size=draw.choice([-1, 0, 1, 2**31, 2**40, 2**62]))
    return request.SerializeToString()


def wrong_rank(request: PredictRequest, draw: random.Random) -> bytes:
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([[[1.0]]] if draw.random() < 0.5 else 1.0))
    return request.SerializeToString()


def wrong_names(request: PredictRequest, draw: random.Random) -> bytes:
    name = "".join(draw.choice("xyzé\0\n") for _ in range(draw.randrange(2, 50)))
    request.inputs[name].CopyFrom(request.inputs["x"])
    request.model_spec.signature_name = draw.choice(["", "nope", name])
    request.output_filter.extend(draw.choice([[], ["y", "y"], [name]]))
    return request.SerializeToString()


def wrong_model(request: PredictRequest, draw: random.Random) -> bytes:
    request.model_spec.name = f"model {draw.random()}" * draw.randrange(1, 100)
    request.model_spec.version.value = draw.randrange(-(2**63), 2**63)
    return request.SerializeToString()


def truncated(request: PredictRequest, draw: random.Random) -> bytes:
    data = request.SerializeToString()
    return data[: draw.randrange(1, len(data))]


def flipped(request: PredictRequest, draw: random.Random) -> bytes:
    data = bytearray(request.SerializeToString())
    for _ in range(draw.randrange(1, 5)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data)


def bad_utf8(request: PredictRequest, draw: random.Random) -> bytes:
    return request.SerializeToString().replace(b"m", struct.pack("B", draw.randrange(128, 256)), 1)


def random_bytes(_: PredictRequest, draw: random.Random) -> bytes:
    return draw.randbytes(draw.randrange(1, 200))


# What each may end in. The model takes any rank; cut or changed bytes may happen to be another request.
MUTATIONS = {
    wrong_dtype: {INVALID},
    huge_shape: {INVALID, OK},  # OK for a shape of no elements
    wrong_rank: {OK},
    wrong_names: {INVALID, PRECONDITION},
    wrong_model: {NOT_FOUND},
    truncated: {NO_MESSAGE, INVALID},
    flipped: {NO_MESSAGE, INVALID, NOT_FOUND, PRECONDITION, OK},
    bad_utf8: {INVALID},
    random_bytes: {NO_MESSAGE, INVALID},
}


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "m"
    publish(base, 1)
    with EmbeddedServer("m", base, max_threads=4) as server, Asking(server.address) as opened:
        yield opened


def peak_bytes() -> int:
    """The most memory that this process, where the server runs, ever held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_malformed_requests_hurt_nobody(asking):
    call = asking.channel.unary_unary(METHOD)  # bytes, as they are

    def exchange(seed: int) -> tuple[Callable, grpc.StatusCode]:
        draw = random.Random(seed)
        if seed % 10 == 0:
            assert asking.answer() == (1, 1.0)
        mutate = draw.choice(list(MUTATIONS))
        try:
            PredictResponse.FromString(call(mutate(valid(), draw), timeout=30))
        except grpc.RpcError as error:
            return mutate, error.code()
        return mutate, OK

    before = peak_bytes()
    with ThreadPoolExecutor(8) as pool:
        seen = Counter(pool.map(exchange, range(COUNT)))
    assert not [(mutate.__name__, code) for mutate, code in seen if code not in MUTATIONS[mutate]]
    assert {mutate for mutate, _ in seen} == set(MUTATIONS)
    assert peak_bytes() - before < 2**28, "shapes of terabytes were declared"
    assert asking.answer() == (1, 1.0)
