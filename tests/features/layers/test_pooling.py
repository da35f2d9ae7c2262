import numpy as np
import pytest
from keras import ops
from support.backends import evaluate, gradients
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
)

from keras_smes.features.layers.pooling import MaskedPooling

VECTORS = np.array(
    [[[1, 2], [3, 4], [50, 60]], [[5, 6], [0, 0], [7, 8]], [[1, 1], [2, 2], [3, 3]]], np.float32
)
LENGTHS = np.array([2, 0, 99], np.int32)


@pytest.mark.parametrize(
    ("mode", "expected"), [("sum", [[4, 6], [0, 0], [6, 6]]), ("mean", [[2, 3], [0, 0], [2, 2]])]
)
def test_pools_by_hand(mode, expected):
    np.testing.assert_array_equal(evaluate(MaskedPooling(mode), VECTORS, LENGTHS), expected)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_what_lies_beyond_the_length_changes_nothing(mode):
    garbage = VECTORS.copy()
    garbage[0, 2] = np.nan
    garbage[1] = np.inf
    layer = MaskedPooling(mode)
    np.testing.assert_array_equal(evaluate(layer, garbage, LENGTHS), evaluate(layer, VECTORS, LENGTHS))
    (gradient,) = gradients(lambda tensors: ops.sum(layer(tensors[0], LENGTHS)), [garbage])
    share = 1.0 if mode == "sum" else 0.5
    np.testing.assert_array_equal(gradient[0], [[share, share], [share, share], [0, 0]])
    np.testing.assert_array_equal(gradient[1], np.zeros((3, 2)))


def test_keeps_the_contract_of_layers(tmp_path):
    layer = MaskedPooling()
    assert_runs_everywhere(layer, [VECTORS, LENGTHS])
    assert_shapes(layer, [VECTORS, LENGTHS])
    assert_saves(layer, [VECTORS, LENGTHS], tmp_path)
    assert_config_round_trip(MaskedPooling, {"mode": "sum"})


def test_refusals():
    with pytest.raises(ValueError, match="mode='max'"):
        MaskedPooling("max")
