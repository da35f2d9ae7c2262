from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import grpc
import numpy as np
import pytest
import tensorflow as tf

from keras_smes_serving.client import Client, Retry, ServingError, TensorSpec, rows_to_columns
from keras_smes_serving.load_test import open_channel, open_loop, sender
from keras_smes_serving.server.embedded import EmbeddedServer

ROWS = [
    {"user": 2**53 + 1, "city": "oslo", "dense": [0.1, 0.2, 0.3, 0.4]},
    {"user": 3, "city": "rome", "dense": [1, 2, 3, 4]},
]


@pytest.fixture(scope="module")
def client(server):
    with Client(server.address) as opened:
        yield opened


def test_scores_equal_the_function_itself(client, ranker):
    inputs = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    scores = client.predict("ranker", inputs)
    expected = ranker.score(**{name: tf.constant(value) for name, value in inputs.items() if name != "user"},
                            user=tf.constant(inputs["user"], tf.int64))  # fmt: skip
    assert np.allclose(scores["click"], expected["click"], atol=1e-6)
    assert scores["user_again"].tolist() == [2**53 + 1, 3]
    assert scores["city_again"].tolist() == [b"oslo", b"rome"]
    assert scores["click"].dtype == np.float32


def test_metadata_tells_dtypes_shapes_and_defaults(client):
    signatures = client.metadata("ranker")
    assert signatures["serving_default"].inputs == {
        "city": TensorSpec("string", (None,)),
        "dense": TensorSpec("float32", (None, 4)),
        "user": TensorSpec("int64", (None,)),
    }
    assert signatures["serving_default"].outputs["click"] == TensorSpec("float32", (None,))
    assert signatures["scaled"].inputs["factor"].optional


def test_rows_of_a_file_are_scored(client):
    rows = [json.loads(json.dumps(row)) for row in ROWS]
    columns = rows_to_columns(rows, client.metadata("ranker")["serving_default"])
    assert client.predict("ranker", columns, outputs=["user_again"]).keys() == {"user_again"}


def test_other_signatures_defaults_and_flat_columns(client):
    assert client.predict("ranker", {"x": [1, 2]}, "double", version=123)["y"].tolist() == [2.0, 4.0]
    assert client.predict("ranker", {"x": [2.0]}, "scaled")["y"].tolist() == [6.0]
    assert client.predict("ranker", {"user": [1, 2], "items": [10, 20]}, "column")["sum"].tolist() == [11, 22]


def test_status_of_the_model(client):
    assert client.status("ranker") == {123: "AVAILABLE"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"user": [1.0, 2.0]}, r"Feature `user` must be int64. Received: user\[0\]=1.0"),
        ({"colour": [1, 2]}, "Received: `colour`"),
        ({"user": [1]}, "same number of rows. Received: user=1, city=2, dense=2"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_they_are_sent(client, change, text):
    inputs = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    with pytest.raises(ValueError, match=text):
        client.predict("ranker", {**inputs, **change})


def test_an_unknown_signature_is_refused(client):
    with pytest.raises(ValueError, match=r"must be one of the model: .*double.* Received: signature='nope'"):
        client.predict("ranker", {"x": [1.0]}, "nope")


@pytest.mark.parametrize(
    ("ask", "code", "text"),
    [
        (lambda c: c.status("other"), "NOT_FOUND", "Could not find any versions of model other"),
        (lambda c: c.metadata("other"), "NOT_FOUND", "Servable not found for request: Latest(other)"),
        (
            lambda c: c.predict("ranker", {"x": [1.0]}, "double", version=7),
            "NOT_FOUND",
            "Servable not found for request: Specific(ranker, 7)",
        ),
        (
            lambda c: c.predict("ranker", {"x": [1.0]}, "double", outputs=["nope"]),
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: nope Outputs expected to be in the set {y}.",
        ),
    ],
)
def test_refusals_of_the_server_arrive_with_code_and_text(client, ask, code, text):
    with pytest.raises(ServingError) as caught:
        ask(client)
    assert (caught.value.code.name, caught.value.message) == (code, text)
    assert str(caught.value) == f"{code}: {text}"


def test_a_deadline_is_kept(client):
    with pytest.raises(ServingError) as caught:
        client.predict("ranker", {"steps": np.int64(10**9)}, "slow", timeout=0.3)
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_nobody_there_is_unavailable():
    with Client("127.0.0.1:1", timeout=5) as lonely, pytest.raises(ServingError) as caught:
        lonely.status("ranker")
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE


def test_a_timeout_must_be_positive():
    with pytest.raises(ValueError, match=r"`timeout` must be positive. Received: timeout=0"):
        Client("127.0.0.1:1", timeout=0)


@pytest.mark.parametrize("timeout", [0, -1, -math.inf, math.nan, None, "5", True, [1.0]])
def test_timeouts_that_are_none(timeout):
    with pytest.raises(
        ValueError, match=r"`timeout` must be (positive|a number of seconds)\. Received: timeout="
    ):
        Client("127.0.0.1:1", timeout=timeout)


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**400, 1e12, 60, np.float32(60), Fraction(121, 2)])
def test_timeouts_of_any_length(server, timeout):
    inputs = {"x": [1.0]}
    with Client(server.address, timeout=timeout) as client:
        assert client.predict("ranker", inputs, "double")["y"].tolist() == [2.0]
        assert client.predict("ranker", inputs, "double", timeout=timeout)["y"].tolist() == [2.0]
    with Client(server.address) as client, open_channel(server.address) as channel:
        request = client.build("ranker", inputs, "double")
        assert open_loop(sender(channel, request, timeout), np.zeros(3)).codes == {"OK": 3}


def test_retries_of_any_number():
    assert Retry(attempts=10**6, most=math.inf).pause(10**5) >= 0.0
    for options in ({"base": math.nan}, {"most": math.nan}, {"most": -1.0}):
        with pytest.raises(ValueError, match="`base` and `most` must not be negative"):
            Retry(**options)


def test_one_client_serves_many_threads(client):
    def exchange(index: int) -> bool:
        x = np.arange(index % 9, dtype="float32") + index
        return np.array_equal(client.predict("ranker", {"x": x}, "double")["y"], 2 * x)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(exchange, range(200)))


class Doubled(tf.Module):
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def by_x(self, x):
        return {"y": 2 * x}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.float32, name="z")])
    def by_z(self, z):
        return {"y": 2 * z}


def test_a_changed_model_is_looked_at_again(tmp_path):
    module = Doubled()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.by_x})
    first = EmbeddedServer("doubled", tmp_path)
    first.start()
    with Client(first.address) as client:
        assert client.predict("doubled", {"x": [1.0]})["y"].tolist() == [2.0]
        first.stop()
        tf.saved_model.save(module, str(tmp_path / "2"), signatures={"serving_default": module.by_z})
        with EmbeddedServer("doubled", tmp_path, port=first.port):
            assert client.predict("doubled", {"z": [1.0]})["y"].tolist() == [2.0]
