"""An export in the embedded server, asked through the API's own stubs."""

import grpc
import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("tensorflow_serving", reason='needs the extra "serving"')

from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from keras_smes.export import export_version
from keras_smes_serving.server.embedded import EmbeddedServer

pytestmark = pytest.mark.tensorflow

CANDIDATES = {
    "video_id": np.array([4, 1, 99, 2, -1]),
    "city": np.array([b"Oslo", b"", b"Lima", b"Rome", b"Oslo"], object),
    "seconds": np.array([12.0, np.nan, 61.0, np.inf, 3.0], np.float32),
}
USER = {
    "user_id": np.array([2**60]),
    "sex": np.array([b"m"], object),
    "age": np.array([np.nan], np.float32),
    "seen": np.array([[3, 99, 4, 1]]),
    "seen_length": np.array([3], np.int32),
}
ROWS = {**{name: np.repeat(value, 5, axis=0) for name, value in USER.items()}, **CANDIDATES}


@pytest.fixture(scope="module")
def stub(exported):
    with (
        EmbeddedServer("smes", exported.folder.parent) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        yield PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def expected(ranker, fusion):
    """What Keras says of the five rows."""
    scores = {task: score.numpy() for task, score in ranker(_tensors(ROWS)).items()}
    return {**scores, "fused": fusion(scores)}


def test_default_signature_scores_rows(stub, expected):
    answer = ask(stub, ROWS)
    assert set(answer) == {"click", "like", "fused"}
    for name, score in answer.items():
        assert score.dtype == np.float32
        np.testing.assert_allclose(score, expected[name], rtol=0, atol=1e-5)


def test_rank_takes_one_user_and_many_candidates(stub, expected):
    answer = ask(stub, {**USER, **CANDIDATES}, "rank")
    order = answer.pop("order")
    assert order.tolist() == np.argsort(-answer["fused"], kind="stable").tolist()
    for name, score in answer.items():
        np.testing.assert_allclose(score, expected[name], rtol=0, atol=1e-5)


def test_candidates_of_equal_score_keep_their_order(stub):
    twins = {name: np.repeat(value[[2, 0]], 3, axis=0) for name, value in CANDIDATES.items()}
    order = ask(stub, {**USER, **twins}, "rank")["order"].tolist()
    assert order in ([0, 1, 2, 3, 4, 5], [3, 4, 5, 0, 1, 2])


def test_a_user_without_candidates_gets_empty_lists(stub):
    none = {name: value[:0] for name, value in CANDIDATES.items()}
    answer = ask(stub, {**USER, **none}, "rank")
    assert set(answer) == {"click", "like", "fused", "order"}
    assert {value.shape for value in answer.values()} == {(0,)}


def test_examples_are_classified_and_regressed(stub, expected):
    request = ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "smes", "classify"
    request.input.example_list.examples.extend(_examples(ROWS))
    rows = stub.Classify(request, timeout=30).result.classifications
    assert {tuple(entry.label for entry in row.classes) for row in rows} == {("click", "like")}
    scores = [[entry.score for entry in row.classes] for row in rows]
    np.testing.assert_allclose(scores, np.stack([expected["click"], expected["like"]], 1), rtol=0, atol=1e-5)
    for signature, name in (("regress_like", "like"), ("regress", "fused")):
        np.testing.assert_allclose(regress(stub, signature, ROWS), expected[name], rtol=0, atol=1e-5)


def test_routing_explains_the_gates(stub, ranker):
    answer = ask(stub, ROWS, "routing")
    assert answer["experts"].dtype == np.int32
    assert answer["gates"].shape == (5, 2, answer["experts"].shape[1])
    np.testing.assert_allclose(answer["gates"].sum(axis=2), 1.0, atol=1e-6)
    padding = np.broadcast_to((answer["experts"] < 0)[:, None], answer["gates"].shape)
    assert not answer["gates"][padding].any()
    used = (answer["gates"] > 0).sum(axis=2)
    assert (used == [2, 3]).all()  # one shared expert, and one or two private ones
    assert (answer["shared_experts"] == answer["experts"]).any(axis=1).all()


def test_optional_inputs_may_be_left_out(stub, ranker):
    given = {name: value for name, value in ROWS.items() if name not in ("sex", "seconds")}
    defaults = {"sex": np.array([b"f"] * 5, object), "seconds": np.full(5, np.nan, np.float32)}
    click = ranker(_tensors({**given, **defaults}))["click"]
    np.testing.assert_allclose(ask(stub, given)["click"], click, rtol=0, atol=1e-5)
    user = {name: value for name, value in {**USER, **CANDIDATES}.items() if name in given}
    np.testing.assert_allclose(ask(stub, user, "rank")["click"], click, rtol=0, atol=1e-5)
    np.testing.assert_allclose(regress(stub, "regress_click", given), click, rtol=0, atol=1e-5)


def test_a_needed_input_may_not(stub):
    with pytest.raises(grpc.RpcError) as caught:
        ask(stub, {name: value for name, value in ROWS.items() if name != "video_id"})
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "video_id" in caught.value.details()


def test_a_row_is_answered_alike_whatever_the_others_hold(stub):
    together = ask(stub, ROWS)["click"]
    for row in range(5):
        alone = ask(stub, {name: value[row : row + 1] for name, value in ROWS.items()})["click"]
        np.testing.assert_allclose(alone, together[row : row + 1], rtol=0, atol=1e-6)
    assert np.isfinite(together).all()


def test_an_example_that_lacks_features_does_not_fail_the_others(stub, expected):
    examples = [*_examples(ROWS)[:2], tf.train.Example()]
    request = RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "smes", "regress_click"
    request.input.example_list.examples.extend(examples)
    values = [row.value for row in stub.Regress(request, timeout=30).result.regressions]
    np.testing.assert_allclose(values[:2], expected["click"][:2], rtol=0, atol=1e-5)
    assert np.isfinite(values[2])


def test_ids_stay_integers(stub, ranker):
    """2**60 and 2**60 + 1 are one float32, and yet two users."""
    known, unknown = (
        ask(stub, {**ROWS, "user_id": np.full(5, user)})["click"] for user in (2**60, 2**60 + 1)
    )
    assert np.abs(known - unknown).max() > 1e-4


def test_a_batching_server_takes_the_version_without_rank(ranker, schema, tmp_path):
    names = ["serving_default", "classify", "routing"]
    export_version(ranker, tmp_path / "smes", schema, signatures=names, batch_sizes=(1, 4))
    parameters = tmp_path / "batching.txt"
    parameters.write_text("max_batch_size { value: 4 } allowed_batch_sizes: 1 allowed_batch_sizes: 4")
    flags = {"enable_batching": True, "batching_parameters_file": str(parameters)}
    with (
        EmbeddedServer("smes", tmp_path / "smes", **flags) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        rows = {name: value[:3] for name, value in ROWS.items()}
        answer = ask(PredictionServiceStub(channel), rows)  # padded to 4
    np.testing.assert_allclose(answer["click"], ranker(_tensors(rows))["click"], rtol=0, atol=1e-5)


def ask(stub, inputs, signature="serving_default"):
    request = PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "smes", signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    answer = stub.Predict(request, timeout=30).outputs
    return {name: tf.make_ndarray(value) for name, value in answer.items()}


def regress(stub, signature, rows):
    request = RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "smes", signature
    request.input.example_list.examples.extend(_examples(rows))
    return [row.value for row in stub.Regress(request, timeout=30).result.regressions]


def _examples(rows):
    examples = []
    for row in range(5):
        example = tf.train.Example()
        for name, column in rows.items():
            if name == "seen_length":
                continue
            value = column[row][: rows["seen_length"][row]] if name == "seen" else column[row : row + 1]
            kinds = {"i": "int64_list", "f": "float_list", "O": "bytes_list"}
            getattr(example.features.feature[name], kinds[column.dtype.kind]).value.extend(value.tolist())
        examples.append(example)
    return examples


def _tensors(rows):
    return {name: tf.constant(value) for name, value in rows.items()}
