import numpy as np
import pytest
from keras import ops
from support.backends import assert_close, evaluate, gradients
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
)

from keras_smes.features.layers.attention import TargetAttention

B, L, D = 4, 5, 3
LENGTHS = np.array([5, 2, 0, 1], np.int32)


@pytest.fixture
def inputs():
    rng = np.random.default_rng(3)
    query, items = rng.normal(size=(B, D)), rng.normal(size=(B, L, D))
    return [query.astype(np.float32), items.astype(np.float32), LENGTHS]


@pytest.fixture
def layer():
    layer = TargetAttention(units=(6, 4))
    layer.build((B, D), (B, L, D), (B,))
    rng = np.random.default_rng(4)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])  # biases too
    return layer


def activation_unit(query, item, weights):
    """The weight of one item, by the formula."""
    x = np.concatenate([query, item, query - item, query * item])
    (kernel_0, bias_0), (kernel_1, bias_1), (kernel_2, bias_2) = zip(weights[::2], weights[1::2], strict=True)
    x = np.maximum(x @ kernel_0 + bias_0, 0)
    x = np.maximum(x @ kernel_1 + bias_1, 0)
    return (x @ kernel_2 + bias_2).item()


def test_equals_a_loop_over_items(layer, inputs):
    query, items, lengths = inputs
    weights = [np.asarray(weight, np.float64) for weight in layer.get_weights()]
    expected = np.zeros((B, D))
    for b in range(B):
        for position in range(lengths[b]):
            weight = activation_unit(query[b], items[b, position], weights)
            expected[b] += weight * items[b, position]
    assert_close(evaluate(layer, *inputs), expected)
    assert not expected[2].any()  # no items, no interest


def test_what_lies_beyond_the_length_changes_nothing(layer, inputs):
    query, items, lengths = inputs
    garbage = items.copy()
    for b in range(B):
        garbage[b, lengths[b] :] = np.nan
    np.testing.assert_array_equal(evaluate(layer, query, garbage, lengths), evaluate(layer, *inputs))
    _, gradient = gradients(lambda tensors: ops.sum(layer(*tensors, lengths)), [query, garbage])
    beyond = np.arange(L) >= lengths[:, None]
    assert not gradient[beyond].any()
    assert np.isfinite(gradient).all()
    assert gradient[~beyond].any(axis=-1).all()


def test_a_length_beyond_the_rows_is_clamped(layer, inputs):
    query, items, _ = inputs
    wild, tame = (np.array(lengths, np.int32) for lengths in ([99, -1, 0, 5], [5, 0, 0, 5]))
    np.testing.assert_array_equal(evaluate(layer, query, items, wild), evaluate(layer, query, items, tame))


def test_keeps_the_contract_of_layers(layer, inputs, tmp_path):
    assert_runs_everywhere(layer, inputs)
    assert_shapes(layer, inputs)
    assert_saves(layer, inputs, tmp_path)
    assert_config_round_trip(TargetAttention, {"units": [8, 4], "activation": "silu"})


def test_mixed_precision(inputs):
    assert evaluate(TargetAttention(dtype="mixed_bfloat16"), *inputs).dtype.name == "bfloat16"


def test_refusals():
    with pytest.raises(ValueError, match=r"units=\(\)"):
        TargetAttention(units=())
    with pytest.raises(ValueError, match=r"query of shape \(2, 3\), items of shape \(2, 5, 4\)"):
        TargetAttention()(np.zeros((2, 3)), np.zeros((2, 5, 4)), np.array([1, 1]))
