"""The warm-up file, read with the API's own messages and replayed by the embedded server."""

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("tensorflow_serving", reason='needs the extra "serving"')

from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from keras_smes.export.verification.parity_cases import ParityCase
from keras_smes.export.warmup import write_warmup

pytestmark = pytest.mark.tensorflow


def logs(folder):
    records = tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests"))
    return [PredictionLog.FromString(record) for record in records.as_numpy_iterator()]


def rows_of(log):
    """Signature, outputs asked for and batch size of a record."""
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    if kind == "predict_log":
        rows = max(tensor.tensor_shape.dim[0].size for tensor in request.inputs.values())
        return request.model_spec.signature_name, tuple(request.output_filter), rows
    return request.model_spec.signature_name, kind, len(request.input.example_list.examples)


def test_every_signature_filter_and_batch_size_is_there(exported):
    found = [rows_of(log) for log in logs(exported.folder)]
    outputs = {"serving_default": ["click", "fused", "like"], "rank": ["click", "fused", "like", "order"]}
    wanted = {(name, (), rows) for name in ("serving_default", "rank", "routing") for rows in (1, 3)}
    wanted |= {(name, (one,), rows) for name, ones in outputs.items() for one in ones for rows in (1, 3)}
    wanted |= {("classify", "classify_log", rows) for rows in (1, 3)}
    for name in ("regress", "regress_click", "regress_like"):
        wanted |= {(name, "regress_log", rows) for rows in (1, 3)}
    assert set(found) == wanted
    assert len(found) == exported.warmup_records


@pytest.fixture
def doubling(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.float32, name="x")
    module.serve = tf.function(lambda x: {"y": 2.0 * x, "z": -x}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.serve)
    return tmp_path / "1"


def case(rows):
    return ParityCase("serving_default", rows, {"x": np.ones(rows, np.float32)}, {})


def test_filters_may_be_named(doubling):
    assert write_warmup(doubling, [case(2)], {"serving_default": [["z", "y"]]}) == 2
    assert [rows_of(log)[1] for log in logs(doubling)] == [(), ("z", "y")]


def test_more_records_than_a_server_takes_are_refused(doubling):
    with pytest.raises(ValueError, match="1001"):
        write_warmup(doubling, [case(1)] * 1001, {})


@pytest.mark.parametrize("filters", [{"serving_default": [["w"]]}, {"other": [["y"]]}])
def test_filters_of_something_else_are_refused(doubling, filters):
    with pytest.raises(ValueError, match="output_filters"):
        write_warmup(doubling, [case(1)], filters)
