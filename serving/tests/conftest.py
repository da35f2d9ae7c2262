"""A SavedModel made with plain TensorFlow, and one server for all tests of this directory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from keras_smes_serving.server.embedded import EmbeddedServer


def spec(name: str, dtype: tf.DType, *shape: int) -> tf.TensorSpec:
    return tf.TensorSpec([None, *shape], dtype, name=name)


FEATURES = [spec("user", tf.int64), spec("city", tf.string), spec("dense", tf.float32, 4)]


class Ranker(tf.Module):
    """Scores from an int64, a string and floats; `offset` tells one version from another."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.kernel = tf.Variable([[0.1], [-0.2], [0.3], [0.4]])
        self.offset = tf.Variable(offset)
        keys = tf.lookup.KeyValueTensorInitializer(["oslo", "rome"], [0.5, -1.5])
        self.cities = tf.lookup.StaticHashTable(keys, 0.0)

    @tf.function(autograph=False, input_signature=FEATURES)
    def score(self, user, city, dense):
        logit = tf.matmul(dense, self.kernel)[:, 0] + self.cities.lookup(city) + self.offset
        return {
            "click": tf.sigmoid(logit),
            "like": logit * tf.cast(user % 7, tf.float32),
            "user_again": user + 0,
            "city_again": tf.strings.join([city, ""]),
        }

    @tf.function(autograph=False, input_signature=[spec("user", tf.int64), spec("items", tf.float32, 1)])
    def column(self, user, items):
        return {"sum": items[:, 0] + tf.cast(user, tf.float32)}

    @tf.function(autograph=False, input_signature=[spec("x", tf.float32)])
    def double(self, x):
        return {"y": 2.0 * x}

    @tf.function(autograph=False, input_signature=[spec("x", tf.float32), spec("factor", tf.float32)])
    def scaled(self, x, factor=tf.constant([3.0])):  # noqa: B008
        return {"y": factor * x}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.int64, name="steps")])
    def slow(self, steps):
        return {
            "steps": tf.while_loop(lambda i: i < steps, lambda i: (i + 1,), (tf.constant(0, tf.int64),))[0]
        }

    def signatures(self) -> dict[str, object]:
        return {
            "serving_default": self.score,
            "column": self.column,
            "double": self.double,
            "scaled": self.scaled,
            "slow": self.slow,
        }


@pytest.fixture(scope="session")
def ranker() -> Ranker:
    return Ranker(offset=0.25)


@pytest.fixture(scope="session")
def base_path(ranker: Ranker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 9 (other numbers) and 123, and beside them what is no version."""
    base = tmp_path_factory.mktemp("models") / "ranker"
    newest = base / "00000123"
    tf.saved_model.save(ranker, str(newest), signatures=ranker.signatures())
    other = Ranker(offset=-5.0)
    tf.saved_model.save(other, str(base / "9"), signatures=other.signatures())
    shutil.copytree(newest, base / "1000.being-written")
    (base / "2000").write_text("a file is no version")
    return base


@pytest.fixture(scope="session")
def server(base_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer("ranker", base_path) as running:
        yield running


@pytest.fixture(scope="session")
def channel(server: EmbeddedServer) -> Iterator[grpc.Channel]:
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=limits) as opened:
        yield opened


@pytest.fixture(scope="session")
def prediction(channel: grpc.Channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="session")
def models(channel: grpc.Channel) -> model_service_pb2_grpc.ModelServiceStub:
    return model_service_pb2_grpc.ModelServiceStub(channel)
