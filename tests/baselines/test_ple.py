"""PLE against the paper's formulas in NumPy, task by task and expert by expert."""

import keras
import numpy as np
import pytest
from support.backends import assert_close, evaluate, to_numpy

from keras_smes.baselines import PLE


def outputs_of(layer, h):
    # A new function each time: JAX keeps what it compiled, and the weights of then with it.
    return evaluate(lambda rows: layer(rows), h)


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def weights_of(layer):
    """`{(level, part, name): array}`, part being a pool's name, or "" for the gates."""
    found = {}
    for weight in layer.weights:
        *_, level, part, name = ["", "", *weight.path.split("/")]
        level, part = (part, "") if part.startswith("level_") else (level, part)
        found[level, part, name] = to_numpy(weight).astype("float64")
    return found


def experts_of(weights, level, part, x):
    """`[expert][B, out]`, each `relu` hidden and `tanh` out."""
    kernels, biases = ([weights[level, part, f"{name}_{i}"] for i in (0, 1)] for name in ("kernel", "bias"))
    hidden = [np.maximum(x @ k + b, 0) for k, b in zip(kernels[0], biases[0], strict=True)]
    return [np.tanh(a @ k + b) for a, k, b in zip(hidden, kernels[1], biases[1], strict=True)]


def ple(weights, h, num_tasks, num_levels):
    x = dict.fromkeys([*range(num_tasks), "s"], h)
    for j in range(num_levels):
        level = f"level_{j}"
        common = experts_of(weights, level, "shared", x["s"])
        own = {k: experts_of(weights, level, f"task_{k}", x[k]) for k in range(num_tasks)}
        following = {}
        for k in range(num_tasks):
            gate = softmax(x[k] @ weights[level, "", "kernel"][k])
            following[k] = sum(gate[:, i, None] * f for i, f in enumerate(own[k] + common))
        if j < num_levels - 1:
            gate = softmax(x["s"] @ weights[level, "", "shared_kernel"][0])
            everyone = [f for k in range(num_tasks) for f in own[k]] + common
            assert gate.shape[1] == len(everyone)
            following["s"] = sum(gate[:, i, None] * f for i, f in enumerate(everyone))
        x = following
    return np.stack([x[k] for k in range(num_tasks)], axis=1)


@pytest.mark.parametrize("num_levels", [1, 2, 3])
@pytest.mark.parametrize(("own", "common"), [(2, 3), (1, 1)])
def test_the_formulas_of_the_paper(num_levels, own, common):
    layer = PLE(3, own, common, (5, 4), num_levels, output_activation="tanh")
    h = np.random.default_rng(0).normal(size=(6, 7)).astype("float32")
    outputs = outputs_of(layer, h)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    assert_close(outputs_of(layer, h), ple(weights_of(layer), h, 3, num_levels))
    assert not np.allclose(outputs_of(layer, h), outputs)


def set_by_hand(layer, level, gates, shared_gate, experts):
    level = layer.levels[level]
    level.kernel.assign(np.array(gates, "float32")[:, None, :])
    if shared_gate is not None:
        level.shared_kernel.assign(np.array(shared_gate, "float32")[None, None])
    for pool, kernel in zip([*level.tasks, level.shared], experts, strict=True):
        pool.kernels[0].assign([[[kernel]]])


def test_one_level_by_hand():
    # h = 2. Experts: task 0 has 3 h = 6, task 1 has h = 2, shared is -h = -2.
    # Task 0's gate: softmax(2 * [ln(3) / 2, 0]) = [3/4, 1/4], so 3/4 * 6 - 1/4 * 2 = 4. Task 1's: 1/2, so 0.
    layer = PLE(2, 1, 1, 1, num_levels=1)
    layer.build((None, 1))
    set_by_hand(layer, 0, [[np.log(3) / 2, 0], [0, 0]], None, [3, 1, -1])
    assert_close(outputs_of(layer, np.array([[2.0]], "float32")), [[[4.0], [0.0]]])


def test_two_levels_by_hand():
    # Level 1 as above, and shared (6 + 2 - 2) / 3 = 2. Level 2, gates even: experts 3 * 4 = 12, 1 * 0 = 0
    # and -1 * 2 = -2, so (12 - 2) / 2 = 5 and (0 - 2) / 2 = -1.
    layer = PLE(2, 1, 1, 1)
    layer.build((None, 1))
    set_by_hand(layer, 0, [[np.log(3) / 2, 0], [0, 0]], [0, 0, 0], [3, 1, -1])
    set_by_hand(layer, 1, [[0, 0], [0, 0]], None, [3, 1, -1])
    assert_close(outputs_of(layer, np.array([[2.0]], "float32")), [[[5.0], [-1.0]]])


def test_a_task_reads_no_other_tasks_experts():
    """At the last level, another task's experts don't matter; before, they do, through what is shared."""
    h = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    for level, matters in [(0, True), (1, False)]:
        layer = PLE(2, 1, 1, 3)
        layer.build((None, 5))
        before = outputs_of(layer, h)
        kernel = layer.levels[level].tasks[1].kernels[0]
        kernel.assign(keras.ops.ones(kernel.shape))
        after = outputs_of(layer, h)
        assert np.allclose(after[:, 0], before[:, 0]) != matters
        assert not np.allclose(after[:, 1], before[:, 1])


@pytest.mark.parametrize("name", ["num_tasks", "num_task_experts", "num_shared_experts", "num_levels"])
@pytest.mark.parametrize("value", [0, True, 1.5, "2"])
def test_refuses(name, value):
    good = {"num_tasks": 2, "num_task_experts": 1, "num_shared_experts": 1, "expert_units": 4}
    with pytest.raises(ValueError, match=f"`{name}`") as refusal:
        PLE(**{**good, name: value})
    assert f"{name}={value!r}" in str(refusal.value)
