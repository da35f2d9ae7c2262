import keras
import numpy as np
import pytest

from keras_smes.baselines import MMoE


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def test_the_formula_of_the_paper():
    layer = MMoE(num_tasks=2, num_experts=3, expert_units=(5, 4))
    h_bd = np.random.default_rng(0).normal(size=(6, 7)).astype("float32")
    outputs_bto = keras.ops.convert_to_numpy(layer(h_bd))
    weights = {w.path.split("/")[-1]: keras.ops.convert_to_numpy(w).astype("float64") for w in layer.weights}
    expected_bto = np.zeros((6, 2, 4))
    for task in range(2):
        gate_be = softmax(h_bd @ weights["kernel"][task])
        for expert in range(3):
            hidden = np.maximum(h_bd @ weights["kernel_0"][expert] + weights["bias_0"][expert], 0)
            output = hidden @ weights["kernel_1"][expert] + weights["bias_1"][expert]
            expected_bto[:, task] += gate_be[:, expert, None] * output
    np.testing.assert_allclose(outputs_bto, expected_bto, rtol=1e-5, atol=1e-6)


def test_config_round_trip():
    layer = MMoE(
        2, 3, (5, 4), expert_activation="tanh", output_activation="relu", kernel_initializer="he_normal"
    )
    config = layer.get_config()
    assert MMoE.from_config(config).get_config() == config


def test_refusals():
    with pytest.raises(ValueError, match="num_tasks=0"):
        MMoE(0, 3, (5,))
    with pytest.raises(ValueError, match="num_experts=0"):
        MMoE(2, 0, (5,))
