"""The server as an operator runs it: a process with flags and signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from keras_smes.serving.server import serve

COMMAND = [sys.executable, "-m", "keras_smes.serving.server"]


@pytest.fixture
def process(base_path) -> Iterator[tuple[subprocess.Popen, str, list[str]]]:
    """A running server, its address, and what it printed until it was ready."""
    flags = ["--model_name=ranker", f"--model_base_path={base_path}", "--port=0", "--grpc_max_threads=4"]
    running = subprocess.Popen(
        [*COMMAND, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    lines = []
    while not lines or not lines[-1].startswith("Running"):
        lines.append(running.stdout.readline())
        assert lines[-1], f"the server ended with {running.wait()}"
    yield running, lines[-1].split()[4].replace("0.0.0.0", "127.0.0.1"), lines
    running.kill()
    running.wait()
    running.stdout.close()


def slow(address: str, steps: int) -> grpc.Future:
    request = PredictRequest()
    request.model_spec.name = "ranker"
    request.model_spec.signature_name = "slow"
    request.inputs["steps"].CopyFrom(tf.make_tensor_proto(np.int64(steps)))
    # A channel of its own for each call, or a refusal could come from a known-dead connection.
    channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
    return PredictionServiceStub(channel).Predict.future(request, timeout=60)


def steps_for(seconds: float, address: str) -> int:
    slow(address, 10).result()  # the first run of a signature sets it up
    began = time.perf_counter()
    slow(address, 20_000).result()
    return int(20_000 * seconds / (time.perf_counter() - began))


def test_sigterm_lets_the_request_under_way_finish(process):
    running, address, lines = process
    assert "development, tests and small deployments" in lines[0]
    assert "TensorFlow Serving, which takes this command line unchanged" in lines[0]
    steps = steps_for(2.0, address)
    under_way = slow(address, steps)
    time.sleep(0.5)
    running.send_signal(signal.SIGTERM)
    while (code := slow(address, 1).code()) == grpc.StatusCode.OK:
        time.sleep(0.01)
    assert not under_way.done(), "the request ended before the refusal: the test proves nothing"
    assert code == grpc.StatusCode.UNAVAILABLE
    assert list(under_way.result().outputs["steps"].int64_val) == [steps]
    assert running.wait(timeout=20) == 0


def test_an_empty_base_path_fails_and_says_where(tmp_path, capsys):
    assert serve(["--model_name=ranker", f"--model_base_path={tmp_path}"]) == 1
    assert f"Received: model_base_path='{tmp_path}'" in capsys.readouterr().err


def test_a_version_that_cannot_be_loaded_fails_and_names_it(tmp_path, capsys):
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "saved_model.pb").write_bytes(b"no protocol buffer")
    assert serve(["--model_name=ranker", f"--model_base_path={tmp_path}"]) == 1
    assert "Can't load version 4 of model ranker" in capsys.readouterr().err


def test_unknown_flags_are_refused_and_the_known_listed(capsys):
    assert serve(["--model_base_path=/models/smes", "--nope=1"]) == 2
    text = capsys.readouterr().err
    assert "Unknown argument: --nope=1" in text
    assert "--model_name=default" in text


def test_help_lists_the_flags(capsys):
    assert serve(["--help"]) == 0
    assert "--port=8500" in capsys.readouterr().out


def test_signal_handlers_are_put_back(base_path):
    before = signal.getsignal(signal.SIGTERM)
    assert serve(["--model_name=ranker", f"--model_base_path={base_path / 'nothing'}"]) == 1
    assert signal.getsignal(signal.SIGTERM) is before
