import keras
import numpy as np
import pytest
from support.backends import assert_close, evaluate
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
)

from keras_smes.layers import TaskTower

H = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")

every_width = pytest.mark.parametrize("width", [1, 3])


def built(*args, **kwargs):
    tower = TaskTower(*args, **kwargs)
    tower.build(H.shape)
    return tower


def test_it_is_an_mlp_with_a_linear_end():
    tower = built((3, 2), width=2, activation="tanh")
    rows_bd = H.astype("float64")
    for dense in tower.hidden:
        kernel, bias = (np.asarray(w, "float64") for w in dense.get_weights())
        rows_bd = np.tanh(rows_bd @ kernel + bias)
    kernel, bias = tower.logits.get_weights()
    assert_close(evaluate(tower, H), rows_bd @ kernel + bias)


def test_without_hidden_layers_it_is_linear():
    tower = built((), width=1)
    kernel, _ = tower.logits.get_weights()
    assert_close(evaluate(tower, H), (H @ kernel)[:, 0])


def test_one_number_an_instance_has_no_axis_of_its_own():
    assert evaluate(built((3,)), H).shape == (5,)
    assert evaluate(built((3,), width=2), H).shape == (5, 2)


@every_width
def test_it_runs_everywhere(width):
    assert_runs_everywhere(built((3,), width=width), (H,))
    assert_shapes(built((3,), width=width), (H,))


@every_width
def test_it_saves(width, tmp_path):
    assert_saves(built((3,), width=width), (H,), tmp_path)


def test_config():
    assert_config_round_trip(
        TaskTower,
        {
            "units": [5, 3],
            "width": 2,
            "activation": "tanh",
            "kernel_initializer": keras.initializers.HeNormal(seed=3),
        },
    )


def test_logits_are_float32_under_half_precision():
    tower = built((3,), dtype="mixed_bfloat16")
    assert evaluate(tower, H).dtype == np.float32
    assert tower.hidden[0].compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"units": [0]}, r"units=\[0\]"), ({"width": 0}, "width=0"), ({"width": 1.5}, "width=1.5")],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        TaskTower(**arguments)
