import ast
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_smes.export import audit, export_version, write_saved_model
from keras_smes.export.graph.inputs import served_inputs
from keras_smes.export.verification import c_runtime
from keras_smes.export.verification.parity_cases import ParityCase, make_parity_cases
from keras_smes.export.verification.verify import verify

pytestmark = pytest.mark.tensorflow


def test_an_export_is_proved_signature_by_signature(exported):
    names = ["classify", "rank", "regress", "regress_click", "regress_like", "routing", "serving_default"]
    assert exported.signatures == names
    # Two batch sizes, and the optional inputs left out.
    assert exported.proof.requests == 3 * len(names)
    assert exported.proof.difference <= 1e-5
    assert exported.proof.runtime == tf.__version__


def test_on_the_runtime_of_tensorflow_serving(serving_runtime, ranker, schema, fusion, tmp_path):
    made = export_version(ranker, tmp_path, schema, fusion, batch_sizes=(1, 5), runtime=serving_runtime)
    assert made.proof.runtime == "2.20.0"
    assert made.proof.difference <= 1e-5


def test_another_models_answers_are_no_proof(exported, ranker, schema, fusion):
    inputs = served_inputs(ranker, schema)
    cases = make_parity_cases(ranker, inputs, exported.signatures, [4], fusion)
    assert verify(exported.folder, cases).requests == len(cases)
    for signature, output in (("rank", "fused"), ("classify", "scores"), ("routing", "gates")):
        case = next(case for case in cases if case.signature == signature)
        wrong = {**case.expected, output: case.expected[output] + np.float32(2e-5)}
        with pytest.raises(ValueError, match=f"{signature}.*{output}"):
            verify(exported.folder, [ParityCase(signature, 4, case.inputs, wrong)])


def test_a_score_that_is_no_number_is_no_answer(tmp_path):
    inputs = {"x": keras.Input((), name="x")}
    model = keras.Model(inputs, {"click": keras.ops.log(inputs["x"])})
    with pytest.raises(ValueError, match="nan"):
        export_version(model, tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_an_export_for_xla_fails_where_xla_is_disabled(ranker, schema, tmp_path):
    """As in a stock server, at the first request; hence the audit."""
    write_saved_model(ranker, tmp_path / "1", schema, signatures=["serving_default", "rank"], xla=True)
    cases = make_parity_cases(ranker, served_inputs(ranker, schema), ["serving_default", "rank"], [1, 3])
    with pytest.raises(ValueError, match="XLA compilation disabled"):
        verify(tmp_path / "1", cases, xla=False)
    assert verify(tmp_path / "1", cases, xla=True).difference <= 1e-5
    with pytest.raises(ValueError, match="compiled by XLA"):
        audit(tmp_path / "1")


def test_the_model_card_says_what_an_operator_needs(exported, ranker):
    card = json.loads((exported.folder / "assets.extra" / "model_card.json").read_text())
    assert card["tasks"] == ["click", "like"]
    assert card["parameters"] == ranker.count_params()
    assert card["batch_sizes"] == [1, 3]
    assert card["xla"] is False
    assert card["features"]["sex"]["default"] == "f"
    assert card["features"]["sex"]["side"] == "user"
    assert "missing" in card["features"]["seconds"]["unusual_values"]
    assert card["signatures"]["rank"]["inputs"]["video_id"] == {"dtype": "int64", "shape": [None]}
    assert card["signatures"]["rank"]["inputs"]["user_id"] == {"dtype": "int64", "shape": [1]}
    assert card["versions"]["tensorflow"] == tf.__version__
    assert card["proof"]["requests"] == exported.proof.requests


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_sizes": [0]}, "batch_sizes"),
        ({"batch_sizes": []}, "batch_sizes"),
        ({"signatures": ["serving_default", "rang"]}, "rang"),
        ({"signatures": ["rank"]}, "serving_default"),
        ({"runtime": "nowhere"}, "runtime"),
        ({"output_filters": {"serving_default": [["clicks"]]}}, "clicks"),
        ({"output_filters": {"rang": []}}, "rang"),
        ({"version": 0}, "version=0"),
    ],
)
def test_arguments_that_cannot_work_publish_nothing(ranker, schema, tmp_path, arguments, message):
    usual = {"signatures": ["serving_default"], "batch_sizes": [1]}
    with pytest.raises(ValueError, match=message):
        export_version(ranker, tmp_path / "smes", schema, **{**usual, **arguments})
    assert not list(tmp_path.glob("smes/*"))


def test_the_fresh_process_imports_nothing_of_the_package():
    tree = ast.parse(Path(c_runtime.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    assert names == {"ctypes", "numpy", "pathlib", "pickle", "sys", "typing"}
