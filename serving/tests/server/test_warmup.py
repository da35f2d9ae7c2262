"""Warm-up files: replayed before a version serves, and able to keep it from serving."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from serving_support.example_models import save_scored
from serving_support.living_models import AVAILABLE, END, Asking, publish, save_model, until
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.server.embedded import EmbeddedServer
from keras_smes_serving.server.models.warmup import warm_up
from keras_smes_serving.server.runtime.servable import Servable
from keras_smes_serving.server.runtime.session import Session

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def predict_log(name: str = "x", signature: str = "") -> PredictionLog:
    log = PredictionLog()
    log.predict_log.request.model_spec.name = "of another name"
    log.predict_log.request.model_spec.signature_name = signature
    log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto([1.0]))
    return log


def write(directory: Path, *records: bytes) -> Path:
    (directory / "assets.extra").mkdir(exist_ok=True)
    path = directory / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return directory


class Counting(Session):
    """A real session that also remembers what it was asked to run."""

    def run(self, inputs, outputs, timeout=None):
        self.runs = [*getattr(self, "runs", []), tuple(outputs)]
        return super().run(inputs, outputs, timeout)


def test_every_record_runs_as_often_as_asked(tmp_path):
    save_model(tmp_path / "1", 1.0)
    write(tmp_path / "1", predict_log().SerializeToString(), PredictionLog().SerializeToString())
    session = Counting(tmp_path / "1")
    assert warm_up(Servable(session), tmp_path / "1", iterations=3) == 2
    assert len(session.runs) == 3, "an empty record runs nothing"


def test_no_file_is_no_warm_up(tmp_path):
    save_model(tmp_path / "1", 1.0)
    assert warm_up(Servable(Session(tmp_path / "1")), tmp_path / "1") == 0


def test_all_four_kinds_of_request(tmp_path):
    save_scored(tmp_path / "1")
    logs = [PredictionLog() for _ in range(4)]
    example = tf.train.Example()
    example.features.feature["a"].float_list.value.append(1.0)
    logs[0].classify_log.request.model_spec.signature_name = "classify"
    logs[0].classify_log.request.input.example_list.examples.append(example)
    logs[1].regress_log.request.model_spec.signature_name = "regress"
    logs[1].regress_log.request.input.example_list.examples.append(example)
    multi = logs[2].multi_inference_log.request
    multi.tasks.add(method_name="tensorflow/serving/regress").model_spec.signature_name = "regress"
    multi.tasks[0].model_spec.name = "any"
    multi.input.example_list.examples.append(example)
    predict = logs[3].predict_log.request
    predict.model_spec.signature_name = "regress"
    predict.inputs["inputs"].CopyFrom(tf.make_tensor_proto([example.SerializeToString()]))
    write(tmp_path / "1", *(log.SerializeToString() for log in logs))
    session = Counting(tmp_path / "1")
    assert warm_up(Servable(session), tmp_path / "1") == 4
    assert len(session.runs) == 4


def sessions_run() -> bytes:
    log = PredictionLog()
    log.session_run_log.SetInParent()
    return log.SerializeToString()


@pytest.mark.parametrize(
    ("records", "code", "text"),
    [
        (
            [predict_log("z").SerializeToString()],
            grpc.StatusCode.INVALID_ARGUMENT,
            "Signature input alias: x",
        ),
        ([b"\xff"], INVALID, "Failed to parse warmup record: "),
        ([sessions_run()], grpc.StatusCode.UNIMPLEMENTED, "Unsupported log_type for warmup: "),
        (
            [b""] * 1001,
            grpc.StatusCode.INVALID_ARGUMENT,
            "Number of warmup records exceeds the maximum (1000)",
        ),
    ],
)
def test_what_fails_a_load(tmp_path, records, code, text):
    save_model(tmp_path / "1", 1.0)
    write(tmp_path / "1", *records)
    with pytest.raises(ServingError) as caught:
        warm_up(Servable(Session(tmp_path / "1")), tmp_path / "1")
    assert caught.value.code == code
    assert caught.value.message.startswith(text)


def test_a_file_that_is_no_record_file(tmp_path):
    save_model(tmp_path / "1", 1.0)
    path = write(tmp_path / "1") / "assets.extra" / "tf_serving_warmup_requests"
    path.write_bytes(b"not a record file at all")
    with pytest.raises(ServingError, match="Please verify your warmup data is in TFRecord") as caught:
        warm_up(Servable(Session(tmp_path / "1")), tmp_path / "1")
    assert caught.value.code == grpc.StatusCode.DATA_LOSS


def test_a_version_whose_warm_up_fails_does_not_serve(tmp_path):
    base = tmp_path / "m"
    publish(base, 1)
    with (
        EmbeddedServer("m", base, file_system_poll_wait_seconds=0.02) as server,
        Asking(server.address) as asking,
    ):
        write(save_model(tmp_path / "new", 2.0), predict_log("z").SerializeToString()).rename(base / "2")
        until(lambda: asking.states() == {2: END, 1: AVAILABLE})
        status = asking.statuses()[0].status
        assert (status.error_code, status.error_message[:24]) == (3, "Signature input alias: x")
        assert asking.answer() == (1, 1.0)


def test_warm_up_may_be_turned_off(tmp_path):
    write(save_model(tmp_path / "m" / "1", 1.0), b"\xff")
    with (
        EmbeddedServer("m", tmp_path / "m", enable_model_warmup=False) as server,
        Asking(server.address) as asking,
    ):
        assert asking.answer() == (1, 1.0)
