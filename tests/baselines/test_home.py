"""HoME against its formulas in NumPy, expert by expert."""

import math

import keras
import numpy as np
import pytest
from support.backends import TENSORFLOW, assert_close, evaluate, to_numpy, to_tensors

from keras_smes.baselines import HoME

GROUPS = [[0, 2], [1]]
SIZES = {"num_shared_experts": 2, "num_group_experts": 3, "num_task_experts": 1, "feature_gate_rank": 2}
H = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def outputs_of(layer, h):
    # A new function each time: JAX keeps what it compiled, and the weights of then with it.
    return evaluate(lambda rows: layer(rows), h)


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def array(weight):
    return to_numpy(weight).astype("float64")


def feature_gate(gate, x):
    down, up, mix = array(gate.down), array(gate.up), softmax(x @ array(gate.mix.kernel))
    return x * sum(mix[:, i, None] * 2 * sigmoid(x @ down[i] @ up[i]) for i in range(len(down)))


def normalised(group, raw, mask):
    """Batch normalisation of each expert's outputs `[B, experts, out]`, by the batch if there is a mask."""
    gamma, beta, mean, variance = (array(w).reshape(raw.shape[1:]) for w in group.norm.weights)
    if mask is not None:
        mean, variance = raw[mask].mean(axis=0), raw[mask].var(axis=0)
    return gamma * (raw - mean) / np.sqrt(variance + 1e-3) + beta


def experts_of(group, x, mask):
    x, raw = feature_gate(group.feature_gate, x), []
    for e in range(group.num_experts):
        a = x @ array(group.layers[0].kernel)[e] + array(group.layers[0].bias)[e]
        raw.append((a * sigmoid(a)) @ array(group.layers[1].kernel)[e])
    f = normalised(group, np.stack(raw, axis=1), mask)
    return [(f * sigmoid(f))[:, e] for e in range(group.num_experts)]


def mixture(group, gate_x, self_x, own, others):
    gate = softmax(gate_x @ array(group.gates[0].kernel))
    logits = self_x @ array(group.gates[1].kernel)
    alone = sigmoid(logits) if len(own) == 1 else softmax(logits)
    assert gate.shape[1] == len(own + others)
    mixed = sum(gate[:, i, None] * f for i, f in enumerate(own + others))
    return mixed + sum(alone[:, i, None] * f for i, f in enumerate(own))


def home(layer, h, mask=None):
    h = h.astype("float64")
    common = experts_of(layer.meta_shared, h, mask)
    of_group = [experts_of(group, h, mask) for group in layer.meta_groups]
    z = [mixture(g, h, h, own, common) for g, own in zip(layer.meta_groups, of_group, strict=True)]
    z_s = mixture(layer.meta_shared, h, h, common, [f for group in of_group for f in group])
    common = experts_of(layer.shared, z_s, mask)
    of_group = [experts_of(group, z[c], mask) for c, group in enumerate(layer.groups)]
    outputs = []
    for t, task in enumerate(layer.tasks):
        c = [t in group for group in GROUPS].index(True)
        own = experts_of(task, z[c], mask)
        outputs.append(mixture(task, np.hstack([z[c], z_s]), z[c], own, of_group[c] + common))
    return np.stack(outputs, axis=1)


def layer_of(**kwargs):
    layer = HoME(3, GROUPS, (4, 3), **{**SIZES, **kwargs})
    layer.build((None, H.shape[1]))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    for weight in layer.weights:
        if weight.name == "moving_variance":
            weight.assign(rng.uniform(0.5, 2, weight.shape))
    return layer


@pytest.mark.parametrize("num_task_experts", [1, 2])
def test_the_formulas_of_the_paper(num_task_experts):
    layer = layer_of(num_task_experts=num_task_experts)
    assert_close(outputs_of(layer, H), home(layer, H))


def test_training_normalises_by_the_rows_that_count():
    layer, mask = layer_of(), np.array([True, True, False, True, True, False])
    outputs = to_numpy(layer(to_tensors(H), training=True))
    assert_close(outputs, home(layer, H, np.ones(6, bool)), 1e-4)
    outputs = to_numpy(layer(to_tensors(H), mask=keras.ops.convert_to_tensor(mask), training=True))
    assert_close(outputs[mask], home(layer, H, mask)[mask], 1e-4)
    # Rows that don't count change nothing for those that do.
    other = np.where(mask[:, None], H, 7).astype("float32")
    again = to_numpy(layer(to_tensors(other), mask=keras.ops.convert_to_tensor(mask), training=True))
    assert_close(again[mask], outputs[mask], 1e-5)


def test_training_moves_the_averages_and_inference_does_not():
    layer = layer_of()
    averages = [w for w in layer.non_trainable_weights if "moving" in w.name]
    before = to_numpy(averages)
    outputs_of(layer, H)
    assert all((a == b).all() for a, b in zip(before, to_numpy(averages), strict=True))
    layer(to_tensors(H), training=True)
    assert all((a != b).any() for a, b in zip(before, to_numpy(averages), strict=True))


def test_by_hand():
    # One task, one expert of each kind, one number each. Feature gates of zero are 2 sigmoid(0) = 1, the
    # normalisation passes on (variance 1 - 0.001, to which 0.001 is added), gates of zero share evenly
    # and self gates of zero are 1/2. f_s = swish(h) and f_c = 0 at level 1, f_t = swish(z_c) and the
    # rest 0 at level 2, with h = 1:
    swish = lambda x: x / (1 + math.exp(-x))  # noqa: E731
    z_c = swish(1) / 2 + 0
    expected = swish(z_c) / 3 + swish(z_c) / 2
    layer = HoME(1, [[0]], 1)
    layer.build((None, 1))
    for weight in layer.trainable_weights:
        weight.assign(np.zeros(weight.shape) if weight.name != "gamma" else np.ones(weight.shape))
    for group in [layer.meta_shared, *layer.meta_groups, layer.shared, *layer.groups, *layer.tasks]:
        group.norm.moving_variance.assign([1 - group.norm.epsilon])
    for group in [layer.meta_shared, layer.tasks[0]]:
        group.layers[0].kernel.assign([[[1.0]]])
    assert_close(outputs_of(layer, np.ones((1, 1), "float32")), [[[expected]]])


def test_a_group_reads_no_other_groups_experts_of_the_second_level():
    layer = layer_of()
    before = outputs_of(layer, H)
    kernel = layer.groups[1].layers[0].kernel  # of the group of task 1
    kernel.assign(kernel * 2)
    after = outputs_of(layer, H)
    np.testing.assert_array_equal(after[:, [0, 2]], before[:, [0, 2]])
    assert not np.allclose(after[:, 1], before[:, 1])


@pytest.mark.skipif(not TENSORFLOW, reason="a tf.function")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_trains_in_a_graph_of_unknown_batch(jit_compile):
    import tensorflow as tf

    layer = layer_of()
    signature = [tf.TensorSpec([None, 5], tf.float32)]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def outputs(h):
        return layer(h, training=True)

    assert_close(outputs(tf.constant(H)), home(layer, H, np.ones(6, bool)), 1e-4)


@pytest.mark.parametrize(
    "groups",
    [[[0, 1]], [[0, 1], [1, 2]], [[0, 1], [2, 3]], [[0, 1, 2], []], [0, 1, 2], "012", None, [[0, 1, -1]]],
    ids=repr,
)
def test_refuses_groups_that_are_no_partition(groups):
    with pytest.raises(ValueError, match="`task_groups`") as refusal:
        HoME(3, groups, 4)
    assert f"task_groups={groups!r}" in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    [
        "num_shared_experts",
        "num_group_experts",
        "num_task_experts",
        "num_feature_gates",
        "feature_gate_rank",
        "expert_units",
    ],
)
@pytest.mark.parametrize("value", [0, True, 1.5])
def test_refuses(name, value):
    with pytest.raises(ValueError, match=f"`{name}`") as refusal:
        HoME(**{"num_tasks": 1, "task_groups": [[0]], "expert_units": 4, name: value})
    assert f"{name}={value!r}" in str(refusal.value)
