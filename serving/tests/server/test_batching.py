"""Requests run together: the arithmetic, the queues, and a whole server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_support.living_models import Asking, publish, refusal, until
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.server.batching.options import BatchingOptions, batching_options
from keras_smes_serving.server.batching.queue import BatchScheduler
from keras_smes_serving.server.batching.session import BatchingSession
from keras_smes_serving.server.batching.tensors import joined, merged, split
from keras_smes_serving.server.embedded import EmbeddedServer
from keras_smes_serving.server.metrics import Metrics
from keras_smes_serving.server.runtime.session import Session

INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Rows(tf.Module):
    """Tells of every row which batch it was in: the number of rows that ran together."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
    def rows(self, x):
        total = tf.reduce_sum(x, axis=1)
        return {"sum": total, "batch": tf.fill(tf.shape(total), tf.shape(x)[0])}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def whole(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def short(self, x):
        return {"first": x[:1]}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def scalar(self, x):
        return {"y": tf.reshape(x, [1])}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    base = tmp_path_factory.mktemp("rows")
    module = Rows()
    names = {"serving_default": module.rows, "whole": module.whole, "short": module.short}
    tf.saved_model.save(module, str(base / "1"), signatures={**names, "scalar": module.scalar})
    return base / "1"


class Gate(Session):
    """A real session whose runs wait until the gate is opened, so that requests pile up."""

    def __init__(self, directory):
        super().__init__(directory)
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)

    def run(self, inputs, outputs, timeout=None):
        self.entered.release()
        assert self.open.wait(30)
        return super().run(inputs, outputs, timeout)


class Batched:
    """A batching session around a gate, asked from threads."""

    def __init__(self, directory, **options):
        self.gate = Gate(directory)
        self.metrics = Metrics()
        self.scheduler = BatchScheduler(threads=1)
        self.session = BatchingSession(self.gate, BatchingOptions(**options), self.scheduler, self.metrics)
        self.pool = ThreadPoolExecutor(32)
        signature = self.gate.signatures["serving_default"]
        self.x = signature.inputs["x"].name
        self.names = [signature.outputs[name].name for name in ("sum", "batch")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.gate.open.set()
        self.pool.shutdown()
        self.scheduler.close()
        self.session.close()

    def ask(self, x, timeout=None):
        return self.pool.submit(self.session.run, {self.x: np.asarray(x, "float32")}, self.names, timeout)

    def hold(self):
        """Keeps the only thread busy; returns the request that does."""
        held = self.ask([[0.0]])
        assert self.gate.entered.acquire(timeout=30)
        return held

    def waiting(self, count):
        """Waits until so many requests stand in line."""
        until(lambda: sum(len(b.pieces) for q in self.scheduler._queues.values() for b in q.batches) == count)


def test_what_waits_runs_together_and_everyone_gets_their_own_rows(directory):
    rows = [np.full((size, 2), float(size)) for size in (1, 2, 3, 2)]
    with Batched(directory) as batched:
        held = batched.hold()
        futures = [batched.ask(x) for x in rows]
        batched.waiting(4)
        batched.gate.open.set()
        assert held.result()[1].tolist() == [1]
        for x, future in zip(rows, futures, strict=True):
            sums, batch = future.result()
            assert np.array_equal(sums, x.sum(axis=1))
            assert batch.tolist() == [8] * len(x)


def test_a_batch_is_padded_to_an_allowed_size(directory):
    with Batched(directory, max_batch_size=16, allowed_batch_sizes=(4, 16)) as batched:
        batched.gate.open.set()
        assert batched.ask(np.ones((3, 2))).result()[1].tolist() == [4] * 3
        assert batched.ask(np.ones((5, 2))).result()[1].tolist() == [16] * 5
        assert batched.ask(np.ones((0, 2))).result()[0].tolist() == []


def test_different_lengths_fail_or_are_padded_with_the_first_value(directory):
    for pads in (False, True):
        with Batched(directory, pads=pads) as batched:
            batched.hold()
            futures = [batched.ask([[7.0]]), batched.ask([[1.0, 2.0, 4.0]])]
            batched.waiting(2)
            batched.gate.open.set()
            if pads:
                assert [future.result()[0].tolist() for future in futures] == [[21.0], [7.0]]
                continue
            for future in futures:
                with pytest.raises(
                    ServingError, match="have different shapes and padding is turned off"
                ) as caught:
                    future.result()
                assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION


def test_a_wrong_dtype_fails_alone(directory):
    with Batched(directory) as batched:
        batched.hold()
        good = batched.ask([[1.0]])
        inputs = {batched.x: np.ones((1, 1), "float64")}
        bad = batched.pool.submit(batched.session.run, inputs, batched.names)
        batched.waiting(2)
        batched.gate.open.set()
        assert good.result()[0].tolist() == [1.0]
        with pytest.raises(ServingError, match="to be float but double is provided"):
            bad.result()


def test_a_full_queue_refuses(directory):
    with Batched(directory, max_batch_size=2, max_enqueued_batches=2) as batched:
        batched.hold()
        futures = [batched.ask(np.ones((2, 1))) for _ in range(2)]
        batched.waiting(2)
        with pytest.raises(ServingError) as caught:
            batched.ask(np.ones((1, 1))).result()
        assert caught.value.code == grpc.StatusCode.UNAVAILABLE
        assert caught.value.message == (
            "The batch scheduling queue to which this task was submitted is full; currently 2 batches "
            "enqueued and max_enqueued_batches is 2"
        )
        batched.gate.open.set()
        assert all(future.result()[1].tolist() == [2, 2] for future in futures)


def test_a_request_that_waited_too_long(directory):
    with Batched(directory) as batched:
        batched.hold()
        late = batched.ask([[1.0]], timeout=0.001)
        batched.waiting(1)
        patient = threading.Event()
        patient.wait(0.01)  # longer than the request has, whatever the machine does
        batched.gate.open.set()
        with pytest.raises(ServingError, match="timeout exceeded while waiting in batching queue") as caught:
            late.result()
        assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_large_requests_are_split(directory):
    options = {"max_batch_size": 10, "splits": True, "max_execution_batch_size": 4}
    with Batched(directory, **options) as batched:
        batched.hold()
        x = np.arange(9.0)[:, np.newaxis]
        first, second = batched.ask([[5.0]]), None
        batched.waiting(1)
        second = batched.ask(x)
        batched.waiting(4)  # 3 rows beside the first request, then 4, then 2
        batched.gate.open.set()
        assert first.result()[1].tolist() == [4]
        sums, batch = second.result()
        assert sums.tolist() == x[:, 0].tolist()
        assert batch.tolist() == [4] * 7 + [2] * 2
        with pytest.raises(ServingError, match="Task size 11 is larger than maximum input batch size 10"):
            batched.ask(np.ones((11, 1))).result()


def test_metrics_of_batches(directory):
    with Batched(directory, max_batch_size=8, allowed_batch_sizes=(8,)) as batched:
        batched.gate.open.set()
        batched.ask(np.ones((3, 1))).result()
        page = batched.metrics.page()
    assert ":tensorflow:serving:batching_session:wrapped_run_count{} 1\n" in page
    assert ":tensorflow:serving:batching_session:input_batch_size_sum{} 3\n" in page
    assert ":tensorflow:serving:batching_session:processed_batch_size_sum{} 8\n" in page
    assert ':tensorflow:serving:batching_session:padding_size_sum{execution_batch_size="8"} 5\n' in page
    assert 'queuing_latency_count{thread_pool_name="model_server_batch_threads"} 1\n' in page


def test_arithmetic_by_hand():
    parts = [{"x": np.array([1, 2])}, {"x": np.array([3])}]
    assert merged(parts, padding=2, pads=False)["x"].tolist() == [1, 2, 3, 3, 3]
    pieces = split([np.arange(5), np.arange(10).reshape(5, 2)], sizes=[2, 1], total=5)
    assert [[value.tolist() for value in piece] for piece in pieces] == [
        [[0, 1], [[0, 1], [2, 3]]],
        [[2], [[4, 5]]],
    ]
    assert joined([[np.array([1])], [np.array([2, 3])]])[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 9 allowed_batch_sizes: 8",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        ("num_batch_threads { value: 0 }", "threads must be positive; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
    ],
)
def test_parameters_that_do_not_go_together(tmp_path, text, message):
    (tmp_path / "b").write_text(text)
    with pytest.raises(ServingError) as caught:
        batching_options(tmp_path / "b")
    assert (caught.value.code, caught.value.message) == (INVALID, message)


def ask(x, signature: str = "") -> PredictRequest:
    request = PredictRequest()
    request.model_spec.name = "rows"
    request.model_spec.signature_name = signature
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.asarray(x, "float32")))
    return request


@pytest.fixture(scope="module")
def batching(directory, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "batching.config"
    path.write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 1000 } num_batch_threads { value: 2 } "
        "max_enqueued_batches { value: 1000 } allowed_batch_sizes: 2 allowed_batch_sizes: 8"
    )
    flags = {"enable_batching": True, "batching_parameters_file": str(path)}
    with (
        EmbeddedServer("rows", directory.parent, max_threads=32, **flags) as server,
        Asking(server.address) as asking,
    ):
        yield asking


def test_a_server_that_batches(batching):
    def exchange(seed: int) -> bool:
        x = np.random.default_rng(seed).integers(0, 9, (1 + seed % 5, 3))
        outputs = batching.prediction.Predict(ask(x), timeout=30).outputs
        assert set(outputs["batch"].int_val) <= {2, 8}
        return np.array_equal(np.array(outputs["sum"].float_val), x.sum(axis=1))

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(exchange, range(300)))


@pytest.mark.parametrize(
    ("x", "signature", "code", "text"),
    [
        (np.ones((9, 1)), "", INVALID, "Task size 9 is larger than maximum input batch size 8"),
        (1.0, "scalar", INVALID, "Batching Run() input tensors must have at least one dimension"),
        (
            [1.0],
            "whole",
            grpc.StatusCode.FAILED_PRECONDITION,
            "Batched output tensor has 0 dimensions",
        ),
        (
            [1.0, 2.0],
            "short",
            grpc.StatusCode.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
            "input tensors",
        ),
    ],
)
def test_refusals_of_a_server_that_batches(batching, x, signature, code, text):
    assert refusal(batching.prediction.Predict, ask(x, signature), timeout=30) == (code, text)


def test_parameters_of_one_model(directory, tmp_path):
    publish(tmp_path / "m", 1)
    (tmp_path / "m" / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    flags = {"enable_batching": True, "enable_per_model_batching_parameters": True}
    with EmbeddedServer("m", tmp_path / "m", **flags) as server, Asking(server.address) as asking:
        assert asking.answer() == (1, 1.0)
        request = PredictRequest()
        request.model_spec.name = "m"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones(3, "float32")))
        assert refusal(asking.prediction.Predict, request, timeout=30) == (
            INVALID,
            "Task size 3 is larger than maximum input batch size 2",
        )


def test_a_model_whose_parameters_are_wrong_is_not_served(tmp_path):
    publish(tmp_path / "m", 1)
    path = tmp_path / "m" / "1" / "batching_params.pbtxt"
    path.write_text("max_batch_size { value: 2 } allowed_batch_sizes: 1")
    flags = {"enable_batching": True, "enable_per_model_batching_parameters": True}
    with pytest.raises(ServingError, match="Last entry in allowed_batch_sizes must match max_batch_size"):
        EmbeddedServer("m", tmp_path / "m", **flags).start()
