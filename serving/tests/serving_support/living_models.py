"""Versions made and published while a server runs, and what tests ask about them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

COMMAND = (sys.executable, "-m", "keras_smes_serving.server.main")
START, LOADING, AVAILABLE, UNLOADING, END = 10, 20, 30, 40, 50


class Constant(tf.Module):
    """Answers every row with one number: which version answered."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = tf.Variable(value)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def answer(self, x):
        return {"y": 0.0 * x + self.value}


def save_model(directory: Path, value: float) -> Path:
    """Writes a model that answers `value`."""
    module = Constant(value)
    tf.saved_model.save(module, str(directory), signatures=module.answer)
    return directory


def publish(base: Path, version: int, value: float | None = None) -> None:
    """Makes a version appear at once, as an export should."""
    base.mkdir(exist_ok=True)
    save_model(base / f"{version}.being-written", float(version if value is None else value))
    (base / f"{version}.being-written").rename(base / str(version))


def publish_broken(base: Path, version: int) -> None:
    hidden = base / "broken.being-written"
    hidden.mkdir(parents=True)
    (hidden / "saved_model.pb").write_bytes(b"no protocol buffer")
    hidden.rename(base / str(version))


def withdraw(base: Path, version: int) -> None:
    """Takes a version away at once."""
    (base / str(version)).rename(base / f"{version}.gone")
    shutil.rmtree(base / f"{version}.gone")


def until(true: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Asks again and again until the answer is true."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} seconds"
        time.sleep(0.01)
    return answer


@contextmanager
def started(
    *flags: str, command: Sequence[str] = COMMAND, stderr: Any = subprocess.DEVNULL
) -> Iterator[tuple[subprocess.Popen, str, list[str]]]:
    """A running server, its address, and what it printed until it was ready."""
    running = subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, stderr=stderr, text=True)
    lines = []
    while not lines or not lines[-1].startswith("Running"):
        lines.append(running.stdout.readline())
        assert lines[-1], f"the server ended with {running.wait()}"
    yield running, lines[-1].split()[4].replace("0.0.0.0", "127.0.0.1"), lines
    running.kill()
    running.wait()
    running.stdout.close()


class Asking:
    """Raw stubs with little around them."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.prediction = PredictionServiceStub(self.channel)
        self.models = ModelServiceStub(self.channel)

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def answer(self, model: str = "m", version: int | None = None, label: str | None = None) -> tuple:
        """The version that a model says it is, and the number it answers."""
        request = PredictRequest()
        request.model_spec.name = model
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
        response = self.prediction.Predict(request, timeout=30)
        return response.model_spec.version.value, response.outputs["y"].float_val[0]

    def states(self, model: str = "m") -> dict[int, int]:
        """Version to state, in the order told."""
        return {status.version: status.state for status in self.statuses(model)}

    def statuses(self, model: str = "m") -> list:
        request = GetModelStatusRequest()
        request.model_spec.name = model
        return list(self.models.GetModelStatus(request, timeout=30).model_version_status)


def refusal(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[grpc.StatusCode, str]:
    """The code and the text that a call ends with."""
    try:
        call(*args, **kwargs)
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("the call was answered")
