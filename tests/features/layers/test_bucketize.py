import numpy as np
import pytest
from support.backends import evaluate
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
)

from keras_smes.features.layers.bucketize import Bucketize

BOUNDARIES = [-1.5, 0.0, 0.1, 30.0]
VALUES = np.array([-2.0, -1.5, -0.0, 0.1, 29.9, 30.0, 3e38, np.nan, np.inf, -np.inf], np.float32)


def test_buckets_by_hand():
    assert evaluate(Bucketize(BOUNDARIES), VALUES).tolist() == [1, 2, 3, 4, 4, 5, 5, 0, 0, 0]


def test_numbers_are_compared_in_float32_under_any_policy():
    close = np.array([29.99, 30.0], np.float32)  # one number in bfloat16
    assert evaluate(Bucketize(BOUNDARIES, dtype="mixed_bfloat16"), close).tolist() == [4, 5]


def test_keeps_the_contract_of_layers(tmp_path):
    layer = Bucketize(BOUNDARIES)
    assert_runs_everywhere(layer, [VALUES])
    assert_shapes(layer, [VALUES])
    assert_saves(layer, [VALUES], tmp_path)
    assert_config_round_trip(Bucketize, {"boundaries": BOUNDARIES})


@pytest.mark.parametrize("shape", [(0,), (2, 3)])
def test_any_shape(shape):
    assert evaluate(Bucketize(BOUNDARIES), np.ones(shape, np.float32)).shape == shape
