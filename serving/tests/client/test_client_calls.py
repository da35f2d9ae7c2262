"""Retries, deadlines, hooks and odd answers, against a gRPC server that does as it is told."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from keras_smes_serving.client import AsyncClient, Client, Retry, ServingError

QUICK = Retry(attempts=3, base=0.001)
X = {"x": [1.0, 2.0]}


class Scripted:
    """Passes calls on to a real server, but for those that it has other orders for."""

    def __init__(self, target: str) -> None:
        self._target = grpc.insecure_channel(target)
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        self.orders: list = []
        self.calls: list[str] = []
        self._lock = threading.Lock()

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda data, context: self._answer(details, data, context))

    def _answer(self, details, data, context):
        method = details.method.rpartition("/")[2]
        with self._lock:
            self.calls.append(method)
            order = self.orders.pop(0) if method == "Predict" and self.orders else None
        if isinstance(order, grpc.StatusCode):
            context.abort(order, "as told")
        if isinstance(order, bytes):
            return order
        if order is not None:
            time.sleep(order)
        return self._target.unary_unary(details.method)(data, timeout=min(context.time_remaining(), 10.0))

    def close(self) -> None:
        self._server.stop(0).wait()
        self._target.close()


@pytest.fixture
def scripted(server):
    between = Scripted(server.address)
    yield between
    between.close()


def asked(scripted, *orders, retry=QUICK, **options):
    """Asks once for the model, then gives the orders and asks again; the calls made for that."""
    timeout = options.pop("timeout", 5.0)
    scripted.orders.clear()
    with Client(scripted.address, retry=retry, **options) as client:
        client.predict("ranker", X, "double")
        scripted.orders[:], scripted.calls[:] = orders, []
        return client.predict("ranker", X, "double", timeout=timeout)["y"].tolist()


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def test_unavailable_is_tried_again(scripted):
    assert asked(scripted, UNAVAILABLE, UNAVAILABLE) == [2.0, 4.0]
    assert scripted.calls == ["Predict"] * 3


def test_tries_are_bounded(scripted):
    with pytest.raises(ServingError, match="UNAVAILABLE: as told"):
        asked(scripted, *[UNAVAILABLE] * 9)
    assert scripted.calls == ["Predict"] * 3
    with pytest.raises(ServingError, match="UNAVAILABLE"):
        asked(scripted, *[UNAVAILABLE] * 9, retry=Retry(attempts=1))
    assert scripted.calls == ["Predict"]


@pytest.mark.parametrize("code", ["INTERNAL", "RESOURCE_EXHAUSTED", "ABORTED", "UNKNOWN", "CANCELLED"])
def test_nothing_else_is_tried_again(scripted, code):
    with pytest.raises(ServingError) as caught:
        asked(scripted, getattr(grpc.StatusCode, code))
    assert caught.value.code.name == code
    assert scripted.calls == ["Predict"]


def test_a_deadline_is_the_end(scripted):
    with pytest.raises(ServingError) as caught:
        asked(scripted, 2.0, timeout=0.2)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert scripted.calls == ["Predict"]


def test_no_pause_goes_beyond_the_deadline(scripted, monkeypatch):
    monkeypatch.setattr(Retry, "pause", lambda self, number: 10.0)
    with pytest.raises(ServingError) as caught:
        asked(scripted, UNAVAILABLE, timeout=1.0)
    assert caught.value.code is UNAVAILABLE
    assert scripted.calls == ["Predict"]


def test_pauses_double_up_to_a_bound_and_are_random():
    retry = Retry(attempts=9, base=0.1, most=0.5)
    for number, bound in enumerate([0.1, 0.2, 0.4, 0.5, 0.5]):
        pauses = [retry.pause(number) for _ in range(300)]
        assert 0 <= min(pauses) < 0.2 * bound
        assert 0.8 * bound < max(pauses) <= bound


@pytest.mark.parametrize(("change", "text"), [({"attempts": 0}, "attempts=0"), ({"base": -1.0}, "base=-1.0")])
def test_bad_retries_are_refused(change, text):
    with pytest.raises(ValueError, match=f"Received: .*{text}"):
        Retry(**change)


def test_a_refusal_makes_the_client_look_again_but_not_ask_again(scripted):
    with pytest.raises(ServingError, match="INVALID_ARGUMENT"):
        asked(scripted, grpc.StatusCode.INVALID_ARGUMENT)
    assert scripted.calls == ["Predict", "GetModelMetadata"]


def test_an_answer_of_another_version_makes_the_client_look_again(scripted):
    answer = predict_pb2.PredictResponse()
    answer.model_spec.version.value = 124
    with Client(scripted.address) as client:
        client.predict("ranker", X, "double")
        scripted.orders[:], scripted.calls[:] = [answer.SerializeToString()], []
        assert client.predict("ranker", X, "double") == {}
        client.predict("ranker", X, "double")
    assert scripted.calls == ["Predict", "GetModelMetadata", "Predict"]


def odd(**tensor):
    answer = predict_pb2.PredictResponse()
    answer.outputs["y"].dtype = 1
    answer.outputs["y"].tensor_shape.dim.add().size = 2
    for name, value in tensor.items():
        setattr(answer.outputs["y"], name, value)
    return answer.SerializeToString()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"\xff\xff", "The answer is no message"),
        (odd(dtype=99), "Output y is no tensor: .*dtype=99"),
        (odd(tensor_content=b"123"), "Output y is no tensor"),
        (odd(), "Output y has no values"),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error(scripted, answer, text):
    with pytest.raises(ServingError, match=f"INTERNAL: {text}"):
        asked(scripted, answer)


def test_the_hook_is_told_of_every_call(scripted):
    told = []
    asked(scripted, UNAVAILABLE, on_call=lambda *call: told.append(call))
    codes = [(model, signature, code.name) for model, signature, code, *_ in told]
    assert codes == [("ranker", "double", "OK")] * 2 + [
        ("ranker", "double", "UNAVAILABLE"),
        ("ranker", "double", "OK"),
    ]
    for *_, seconds, request_bytes, response_bytes in told:
        assert 0 < seconds < 5
        assert request_bytes > 10
        assert response_bytes == 0 or response_bytes > 10
    assert told[2][5] == 0


def test_the_asynchronous_client_does_the_same(scripted):
    told = []

    async def all_of_it():
        async with AsyncClient(
            scripted.address, retry=QUICK, on_call=lambda *call: told.append(call)
        ) as client:
            many = await asyncio.gather(*[client.predict("ranker", {"x": [n]}, "double") for n in range(20)])
            assert [answer["y"].tolist() for answer in many] == [[2.0 * n] for n in range(20)]
            scripted.orders[:] = [UNAVAILABLE]
            assert (await client.predict("ranker", X, "double"))["y"].tolist() == [2.0, 4.0]
            assert (await client.status("ranker")) == {123: "AVAILABLE"}
            assert (await client.metadata("ranker"))["double"].inputs["x"].dtype == "float32"
            with pytest.raises(ValueError, match="Feature `x` must be float32"):
                await client.predict("ranker", {"x": ["a"]}, "double")
            with pytest.raises(ServingError, match="DEADLINE_EXCEEDED"):
                await client.predict("ranker", {"steps": np.int64(10**9)}, "slow", timeout=0.3)

    asyncio.run(all_of_it())
    assert "UNAVAILABLE" in {call[2].name for call in told}
