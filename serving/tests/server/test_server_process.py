"""The server as an operator runs it: a process with flags and signals."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_support.living_models import publish_broken, started
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from keras_smes_serving.server.main import serve

HURRIED = [
    sys.executable,
    "-c",
    "import sys; from keras_smes_serving.server import main; main.DRAIN_SECONDS = 2.0; "
    "sys.exit(main.serve(sys.argv[1:]))",
]
XLA = "--xla_cpu_compilation_enabled"  # or this process, that of the tests, could use it no more


@pytest.fixture
def process(base_path):
    flags = ["--model_name=ranker", f"--model_base_path={base_path}", "--port=0", "--grpc_max_threads=4"]
    with started(*flags) as running:
        yield running


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
    while (code := slow(address, 1).code()) == grpc.StatusCode.OK and not under_way.done():
        time.sleep(0.01)
    assert not under_way.done(), "the request ended before the refusal: the test proves nothing"
    # gRPC cancels a call that reaches a server in the instant of its stop.
    assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert list(under_way.result().outputs["steps"].int64_val) == [steps]
    assert running.wait(timeout=20) == 0


@contextmanager
def endless_body(port: int) -> Iterator[None]:
    """A REST request whose body goes on and on, a byte at a time."""
    over = threading.Event()

    def drip(client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not over.wait(0.05):
                client.sendall(b" ")

    with socket.create_connection(("127.0.0.1", port)) as client:
        head = "POST /v1/models/ranker:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
        client.sendall(head.encode())
        thread = threading.Thread(target=drip, args=(client,))
        thread.start()
        yield
        over.set()
        thread.join()


def reload_that_waits(address: str, models: dict[str, Path]) -> grpc.Future:
    request = ReloadConfigRequest()
    for name, path in models.items():
        request.config.model_config_list.config.add(
            name=name, base_path=str(path), model_platform="tensorflow"
        )
    channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
    return ModelServiceStub(channel).HandleReloadConfigRequest.future(request, timeout=300)


def test_one_deadline_for_all_that_is_under_way(base_path, tmp_path):
    publish_broken(tmp_path / "broken", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        rest_port = free.getsockname()[1]
    flags = ["--model_name=ranker", f"--model_base_path={base_path}", "--port=0"]
    with (
        started(*flags, f"--rest_api_port={rest_port}", command=HURRIED) as (running, address, _),
        endless_body(rest_port),
    ):
        call = slow(address, 10**12)  # some days
        reload = reload_that_waits(address, {"ranker": base_path, "broken": tmp_path / "broken"})
        time.sleep(1.0)
        assert not call.done()
        assert not reload.done(), "the load is tried again a minute later"
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=25) == 0, "30 seconds for each front, or no end at all"
        assert call.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


def test_a_version_that_cannot_be_loaded_fails_and_names_it(tmp_path, capsys):
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "saved_model.pb").write_bytes(b"no protocol buffer")
    flags = ["--model_name=ranker", f"--model_base_path={tmp_path}", "--max_num_load_retries=0", XLA]
    assert serve(flags) == 1
    error = capsys.readouterr().err
    assert "1 servable(s) did not become available: {{{name: ranker version: 4} due to error: " in error


def test_unknown_flags_are_refused_and_the_known_listed(capsys):
    assert serve(["--model_base_path=/models/smes", "--nope=1"]) == 2
    text = capsys.readouterr().err
    assert "Unknown argument: --nope=1" in text
    assert "--model_name=default" in text


@pytest.mark.parametrize("flags", [[], [XLA]])
def test_a_graph_that_needs_xla_fails_unless_it_is_enabled(tmp_path, flags):
    module = tf.Module()
    signature = [tf.TensorSpec([None], tf.float32, name="x")]
    module.double = tf.function(lambda x: {"y": x + x}, signature, autograph=False, jit_compile=True)
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.double)
    request = PredictRequest()
    request.model_spec.name = "default"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    with (
        started(f"--model_base_path={tmp_path}", "--port=0", *flags) as (_, address, _),
        grpc.insecure_channel(address) as channel,
    ):
        call = PredictionServiceStub(channel).Predict.future(request, timeout=60)
        if flags:
            assert list(call.result().outputs["y"].float_val) == [2.0]
        else:
            assert call.code() == grpc.StatusCode.INTERNAL
            assert "XLA compilation disabled" in call.details()


def test_help_lists_the_flags(capsys):
    assert serve(["--help"]) == 0
    assert "--port=8500" in capsys.readouterr().out


def test_signal_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    assert serve(["--model_config_file=/nowhere/models.config", XLA]) == 1
    assert signal.getsignal(signal.SIGTERM) is before
