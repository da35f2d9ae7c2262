"""Classify, Regress and MultiInference over real gRPC, asked with the generated stubs alone."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from serving_support.example_models import Scored, save_scored
from serving_support.living_models import Asking, refusal
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from keras_smes_serving.server.embedded import EmbeddedServer

INVALID = grpc.StatusCode.INVALID_ARGUMENT
ROWS = np.array([[1.0, 2], [-3.5, 0], [0.25, 7]], np.float32)
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    base = tmp_path_factory.mktemp("scored")
    save_scored(base / "5")
    with EmbeddedServer("scored", base) as server, Asking(server.address) as opened:
        yield opened


def fill(examples, rows=ROWS):
    for a, b in rows:
        features = examples.add().features.feature
        features["a"].float_list.value.append(a)
        features["b"].int64_list.value.append(int(b))


def ask(kind, signature: str, rows=ROWS, model: str = "scored"):
    request = kind()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    fill(request.input.example_list.examples, rows)
    return request


def test_classify_gives_labels_and_scores(asking):
    response = asking.prediction.Classify(ask(ClassificationRequest, "classify"), timeout=30)
    classes = [row.classes for row in response.result.classifications]
    assert [[one.label for one in row] for row in classes] == [["low", "mid", "high"]] * 3
    scores = np.array([[one.score for one in row] for row in classes])
    assert np.allclose(scores, ROWS @ Scored.weights, atol=1e-6)
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("scored", 5, "classify")


def test_regress_gives_a_number_for_each(asking):
    response = asking.prediction.Regress(ask(RegressionRequest, "regress"), timeout=30)
    values = [row.value for row in response.result.regressions]
    assert np.allclose(values, ROWS @ Scored.weights[:, 2], atol=1e-6)
    assert response.model_spec.version.value == 5


def test_a_context_is_shared_by_all_examples(asking):
    request = RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "scored", "regress"
    listed = request.input.example_list_with_context
    listed.context.features.feature["b"].int64_list.value.append(4)
    for a in (1.0, 2.0):
        listed.examples.add().features.feature["a"].float_list.value.append(a)
    values = [row.value for row in asking.prediction.Regress(request, timeout=30).result.regressions]
    assert np.allclose(values, np.array([[1, 4], [2, 4]]) @ Scored.weights[:, 2])


def tasks(*named: tuple[str, str], model: str = "scored") -> MultiInferenceRequest:
    request = MultiInferenceRequest()
    for signature, method in named:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = model, signature
    fill(request.input.example_list.examples)
    return request


def test_multi_inference_answers_several_signatures(asking):
    request = tasks(("regress", REGRESS), ("classify", CLASSIFY))
    regressed, classified = asking.prediction.MultiInference(request, timeout=30).results
    values = [row.value for row in regressed.regression_result.regressions]
    assert np.allclose(values, ROWS @ Scored.weights[:, 2], atol=1e-6)
    scores = [[one.score for one in row.classes] for row in classified.classification_result.classifications]
    assert np.allclose(scores, ROWS @ Scored.weights, atol=1e-6)
    assert (regressed.model_spec.signature_name, classified.model_spec.version.value) == ("regress", 5)


NOTHING = ROWS[:0]
REFUSALS = {
    "no spec": ("Classify", ClassificationRequest(), "Missing ModelSpec"),
    "no examples": ("Classify", ask(ClassificationRequest, "classify", NOTHING), "Input is empty."),
    "no signature": (
        "Classify",
        ask(ClassificationRequest, "nope"),
        "No signature was found with the name: nope",
    ),
    "no default signature": (
        "Regress",
        ask(RegressionRequest, ""),
        "No signature was found with the name: serving_default",
    ),
    "two inputs": ("Regress", ask(RegressionRequest, "two"), "Expected one input Tensor."),
    "two outputs": ("Regress", ask(RegressionRequest, "classify"), "Expected one output Tensor."),
    "three outputs": (
        "Classify",
        ask(ClassificationRequest, "three_out"),
        "Expected one or two output Tensors, found 3",
    ),
    "integers": (
        "Regress",
        ask(RegressionRequest, "integers"),
        "Expected output Tensor of DT_FLOAT.  Got: DT_INT64",
    ),
    "one dimension": (
        "Classify",
        ask(ClassificationRequest, "flat_scores"),
        "Expected Tensor shape: [batch_size num_classes] but got [3]",
    ),
    "twice": (
        "MultiInference",
        tasks(("regress", REGRESS), ("regress", REGRESS)),
        "Duplicate evaluation of signature: regress",
    ),
    "unknown signature": (
        "MultiInference",
        tasks(("nope", REGRESS)),
        "Requested signature not found in model graph: nope",
    ),
    "no tasks": ("MultiInference", MultiInferenceRequest(), "ModelSpec has no name specified."),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(asking, case):
    method, request, text = REFUSALS[case]
    assert refusal(getattr(asking.prediction, method), request, timeout=30) == (INVALID, text)


@pytest.mark.parametrize(
    ("method", "kind", "signature", "text"),
    [
        ("Classify", ClassificationRequest, "renamed", "No classification inputs found in SignatureDef: "),
        ("Regress", RegressionRequest, "renamed", "No regression inputs found in SignatureDef: "),
        ("Regress", RegressionRequest, "flat_scores", "No regression outputs found in SignatureDef: "),
        (
            "Classify",
            ClassificationRequest,
            "regress",
            "Expected classification signature outputs",
        ),
    ],
)
def test_refusals_that_show_the_signature(asking, method, kind, signature, text):
    code, told = refusal(getattr(asking.prediction, method), ask(kind, signature), timeout=30)
    assert code == INVALID
    assert told.startswith(text)


def test_multi_inference_of_two_models_or_an_unknown_method(asking):
    two = tasks(("regress", REGRESS), ("classify", CLASSIFY))
    two.tasks[1].model_spec.name = "another"
    text = "All ModelSpecs in a MultiInferenceRequest must access the same model name."
    assert refusal(asking.prediction.MultiInference, two, timeout=30) == (INVALID, text)
    assert refusal(asking.prediction.MultiInference, tasks(("regress", "nope")), timeout=30) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "Unsupported signature method_name: nope",
    )


def test_an_unknown_model(asking):
    request = ask(RegressionRequest, "regress", model="other")
    assert refusal(asking.prediction.Regress, request, timeout=30) == (
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(other)",
    )


def test_an_example_that_lacks_a_feature_gives_the_text_of_the_runtime(asking):
    request = ask(RegressionRequest, "regress", NOTHING)
    request.input.example_list.examples.add()
    code, text = refusal(asking.prediction.Regress, request, timeout=30)
    assert code == INVALID
    assert "Feature: a (data type: float) is required but could not be found" in text


def test_the_method_name_is_checked_if_asked_for(tmp_path):
    save_scored(tmp_path / "1")
    flags = {"enable_signature_method_name_check": True}
    with EmbeddedServer("scored", tmp_path, **flags) as server, Asking(server.address) as strict:
        code, text = refusal(strict.prediction.Regress, ask(RegressionRequest, "regress"), timeout=30)
    assert code == INVALID
    assert text == (
        "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/predict"
    )


@pytest.mark.parametrize("text", [b"zzzz", b"scored", b"classify"], ids=["feature", "model", "signature"])
@pytest.mark.parametrize("method", ["Classify", "Regress", "MultiInference"])
def test_a_name_that_is_not_utf8(asking, caplog, method, text):
    request = ask(ClassificationRequest, "classify")
    request.input.example_list.examples[0].features.feature["zzzz"].float_list.value.append(1.0)
    data = request.SerializeToString()
    if method == "MultiInference":  # its tasks hold the same ModelSpec, and its input is field 2 as well
        multi = MultiInferenceRequest(input=request.input)
        multi.tasks.add(method_name=CLASSIFY).model_spec.CopyFrom(request.model_spec)
        data = multi.SerializeToString()
    broken = data.replace(text, b"\xff\xfe" + text[2:])
    assert broken != data
    call = asking.channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")
    assert refusal(call, broken, timeout=30)[0] == INVALID
    assert refusal(call, data[:-3], timeout=30)[0] == grpc.StatusCode.INTERNAL  # gRPC's word: no message
    assert not caplog.records
