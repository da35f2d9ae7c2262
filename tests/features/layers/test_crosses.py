import subprocess
import sys

import keras
import numpy as np
import pytest
from support.backends import assert_close, evaluate
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
    functional,
)

from keras_smes.features.layers.crosses import CrossNetwork

pytest.importorskip("keras_rs")
INPUTS = np.random.default_rng(5).normal(size=(4, 3)).astype(np.float32)

# A process that loads the model without ever naming keras-rs.
LOADER = """
import sys, keras, keras_smes
assert "keras_rs" not in sys.modules
print(type(keras.saving.load_model(sys.argv[1])).__name__)
"""


@pytest.mark.parametrize("projection_dim", [None, 1])
def test_equals_the_formula(projection_dim):
    layer = CrossNetwork(2, projection_dim)
    layer.build(INPUTS.shape)
    rng = np.random.default_rng(6)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    weights = [np.asarray(weight, np.float64) for weight in layer.get_weights()]
    expected = INPUTS
    for *kernels, bias in (weights[: len(weights) // 2], weights[len(weights) // 2 :]):
        kernel = kernels[0] if len(kernels) == 1 else kernels[0] @ kernels[1]
        expected = INPUTS * (expected @ kernel + bias) + expected
    assert_close(evaluate(layer, INPUTS), expected.astype(np.float64))


def test_keeps_the_contract_of_layers(tmp_path):
    layer = CrossNetwork(2)
    assert_runs_everywhere(layer, [INPUTS])
    assert_shapes(layer, [INPUTS])
    assert_saves(layer, [INPUTS], tmp_path)
    assert_config_round_trip(CrossNetwork, {"depth": 3, "projection_dim": 2})


def test_a_saved_model_imports_keras_rs_by_itself(tmp_path):
    functional(CrossNetwork(1), [INPUTS]).save(tmp_path / "crosses.keras")
    command = [sys.executable, "-c", LOADER, str(tmp_path / "crosses.keras")]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.splitlines()[-1] == keras.Model.__name__.replace("Model", "Functional")


def test_refusals(monkeypatch):
    with pytest.raises(ValueError, match="depth=0"):
        CrossNetwork(0)
    with pytest.raises(ValueError, match="projection_dim=-1"):
        CrossNetwork(1, -1)
    monkeypatch.setitem(sys.modules, "keras_rs.layers", None)
    with pytest.raises(ImportError, match=r"keras_smes\[ranking\]"):
        CrossNetwork(1)
