import numpy as np
import pytest
from support.backends import assert_close, evaluate, to_numpy

from keras_smes.baselines import SharedBottom


def test_every_task_reads_one_mlp():
    layer = SharedBottom(num_tasks=3, expert_units=(5, 4), output_activation="tanh")
    layer.build((None, 7))
    h_bd = np.random.default_rng(0).normal(size=(6, 7)).astype("float32")
    outputs_bto = evaluate(layer, h_bd)
    weights = {w.name: to_numpy(w)[0].astype("float64") for w in layer.weights}
    hidden = np.maximum(h_bd @ weights["kernel_0"] + weights["bias_0"], 0)
    expected_bo = np.tanh(hidden @ weights["kernel_1"] + weights["bias_1"])
    assert outputs_bto.shape == (6, 3, 4)
    for task in range(3):
        assert_close(outputs_bto[:, task], expected_bo)


def test_by_hand():
    # relu(2 * 3) = 6, then 6 * 0.5 + 1 = 4, for both tasks.
    layer = SharedBottom(2, (1, 1))
    layer.build((None, 1))
    for weight, value in zip(layer.weights, [3, 0, 0.5, 1], strict=True):
        weight.assign(np.full(weight.shape, value, "float32"))
    assert evaluate(layer, np.array([[2.0]], "float32")).tolist() == [[[4.0], [4.0]]]


@pytest.mark.parametrize(("name", "value"), [("num_tasks", 0), ("expert_units", []), ("expert_units", -1)])
def test_refuses(name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}="):
        SharedBottom(**{"num_tasks": 2, "expert_units": (4,), name: value})
