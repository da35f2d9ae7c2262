import numpy as np
import pytest
from support.backends import evaluate
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
)

from keras_smes.features.layers.fit_length import FitLength

IDS = np.array([[1, 2, 3, 4], [5, 6, 9, 9], [7, 9, 9, 9], [9, 9, 9, 9], [1, 2, 3, 4]], np.int32)
LENGTHS = np.array([4, 2, 1, -3, 99], np.int32)


@pytest.mark.parametrize(
    ("keep", "max_length", "ids", "lengths"),
    [
        ("last", 3, [[2, 3, 4], [5, 6, 0], [7, 0, 0], [0, 0, 0], [2, 3, 4]], [3, 2, 1, 0, 3]),
        ("first", 3, [[1, 2, 3], [5, 6, 0], [7, 0, 0], [0, 0, 0], [1, 2, 3]], [3, 2, 1, 0, 3]),
        (
            "last",
            5,
            [[1, 2, 3, 4, 0], [5, 6, 0, 0, 0], [7, 0, 0, 0, 0], [0] * 5, [1, 2, 3, 4, 0]],
            [4, 2, 1, 0, 4],
        ),
    ],
)
def test_rows_by_hand(keep, max_length, ids, lengths):
    found = evaluate(FitLength(max_length, keep), IDS, LENGTHS)
    assert found["ids"].tolist() == ids
    assert found["lengths"].tolist() == lengths


def test_a_request_without_any_id():
    found = evaluate(FitLength(2), np.zeros((3, 0), np.int32), np.array([0, 1, 0], np.int32))
    assert found["ids"].tolist() == [[0, 0]] * 3
    assert found["lengths"].tolist() == [0, 0, 0]


def test_keeps_the_contract_of_layers(tmp_path):
    layer = FitLength(3)
    assert_runs_everywhere(layer, [IDS, LENGTHS])
    assert_shapes(layer, [IDS, LENGTHS])
    assert_saves(layer, [IDS, LENGTHS], tmp_path)
    assert_config_round_trip(FitLength, {"max_length": 3, "keep": "first"})


def test_refusals():
    with pytest.raises(ValueError, match="max_length=0"):
        FitLength(0)
    with pytest.raises(ValueError, match="keep='newest'"):
        FitLength(3, "newest")
