"""What every baseline owes, as every layer does: runs compiled, saves, trains, keeps to dtypes and masks."""

import inspect
import warnings

import keras
import numpy as np
import pytest
from keras import ops
from support.backends import TENSORFLOW, assert_close, evaluate, evaluator, gradients, to_numpy, to_tensors
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
)

from keras_smes.baselines import (
    MODELS,
    PLE,
    HoME,
    MMoE,
    NaiveSparse,
    SharedBottom,
    TaskBalancedSMES,
    build_experts,
)

OPTIONS = {
    "smes": {"num_experts": 9, "num_shared": 1, "num_private": 1, "expert_units": (16, 4)},
    "smes_task_balance": {"num_experts": 9, "num_shared": 1, "num_private": 1, "expert_units": (16, 4)},
    "naive_sparse": {"num_experts": 9, "num_picks": 2, "expert_units": (16, 4)},
    "shared_bottom": {"expert_units": (16, 4)},
    "mmoe": {"num_experts": 3, "expert_units": (16, 4)},
    "ple": {"num_task_experts": 2, "num_shared_experts": 3, "expert_units": (16, 4)},
    "home": {
        "task_groups": [[0, 2], [1]],
        "num_shared_experts": 2,
        "num_task_experts": 2,
        "expert_units": (16, 4),
        "feature_gate_rank": 3,
    },
}
DENSE = ("shared_bottom", "mmoe", "ple", "home")
EVERY_ARGUMENT = {
    NaiveSparse: {
        "num_tasks": 3,
        "num_experts": 7,
        "num_picks": [1, 2, 3],
        "expert_units": [4, 3],
        "expert_activation": "gelu",
        "output_activation": "tanh",
        "normalize_experts": True,
        "balance_weight": 0.25,
        "execution": "dense",
        "router_initializer": keras.initializers.HeUniform(seed=5),
        "kernel_initializer": keras.initializers.HeUniform(seed=6),
        "bias_initializer": keras.initializers.Constant(0.5),
    },
    SharedBottom: {
        "num_tasks": 3,
        "expert_units": [4, 3],
        "expert_activation": "gelu",
        "output_activation": "tanh",
        "kernel_initializer": keras.initializers.HeUniform(seed=5),
    },
    PLE: {
        "num_tasks": 3,
        "num_task_experts": 2,
        "num_shared_experts": 4,
        "expert_units": [4, 3],
        "num_levels": 3,
        "expert_activation": "gelu",
        "output_activation": "tanh",
        "kernel_initializer": keras.initializers.HeUniform(seed=5),
    },
    HoME: {
        "num_tasks": 3,
        "task_groups": [[1], [0, 2]],
        "expert_units": [4, 3],
        "num_shared_experts": 2,
        "num_group_experts": 3,
        "num_task_experts": 4,
        "num_feature_gates": 5,
        "feature_gate_rank": 6,
        "kernel_initializer": keras.initializers.HeUniform(seed=5),
    },
}
EVERY_ARGUMENT[MMoE] = {**EVERY_ARGUMENT[SharedBottom], "num_experts": 4}
EVERY_ARGUMENT[TaskBalancedSMES] = {
    **{name: value for name, value in EVERY_ARGUMENT[NaiveSparse].items() if name != "num_picks"},
    "num_shared": 2,
    "num_private": [1, 2, 3],
    "task_weights": [1.0, 2.0, 3.0],
    "router_rank": 3,
    "num_always": 1,
}

H = np.random.default_rng(0).normal(size=(24, 6)).astype(np.float32)
every_model = pytest.mark.parametrize("model", MODELS)


def build(model, **kwargs):
    """The layer, with the statistics of normalisation away from where they start."""
    layer = build_experts(model, 3, {**OPTIONS[model], **kwargs})
    layer.build((None, H.shape[1]))
    rng = np.random.default_rng(1)
    for weight in layer.non_trainable_weights:
        if "moving" in weight.name:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return layer


def training_gradients(layer, h):
    """Gradients of a random functional of the outputs in training, by weight's path."""
    cotangent = np.random.default_rng(9).normal(size=(len(h), 3, 4)).astype(np.float32)
    how = {"training": True} if "training" in inspect.signature(layer.call).parameters else {}

    def total(tensors):
        rest = [weight.value for weight in layer.non_trainable_variables]
        outputs, _, losses = layer.stateless_call(tensors, rest, h, return_losses=True, **how)
        return ops.sum(ops.cast(outputs, "float32") * cotangent) + sum(losses)

    variables = layer.trainable_variables
    found = gradients(total, to_numpy([v.value for v in variables]))
    return dict(zip([v.path for v in variables], found, strict=True))


@every_model
def test_runs_everywhere(model):
    assert_runs_everywhere(build(model), (H,))


@every_model
def test_shapes(model):
    assert_shapes(build(model), (H,))


@every_model
def test_saves(model, tmp_path):
    assert_saves(build(model), (H,), tmp_path)


@pytest.mark.parametrize("layer_class", EVERY_ARGUMENT, ids=lambda c: c.__name__)
def test_config_round_trip(layer_class):
    assert_config_round_trip(layer_class, EVERY_ARGUMENT[layer_class])


@every_model
def test_gradients_reach_every_weight(model):
    """In dense models, each member of each stack of experts too."""
    for path, gradient in training_gradients(build(model), to_tensors(H)).items():
        members = gradient if model in DENSE and gradient.ndim == 3 else gradient[None]
        for member in members:
            assert np.abs(member).max() > 1e-7, path


@every_model
def test_no_two_matrices_are_drawn_alike(model):
    """One seeded initializer for all: a part that repeats another's numbers would learn what it learns."""
    initializer = keras.initializers.RandomNormal(seed=3)
    layer = build_experts(model, 3, {**OPTIONS[model], "kernel_initializer": initializer})
    layer.build((None, H.shape[1]))
    kernels = [w for w in to_numpy(layer.trainable_weights) if w.ndim > 1 and np.abs(w).max() > 0]
    members = [member for kernel in kernels for member in (kernel if kernel.ndim == 3 else kernel[None])]
    first = [member.ravel()[:3] for member in members]
    for i, numbers in enumerate(first):
        for other in first[:i]:
            size = min(len(numbers), len(other))
            assert not np.allclose(numbers[:size], other[:size])


@every_model
@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_bfloat16", 0.03), ("mixed_float16", 0.005)])
def test_mixed_precision(model, policy, tolerance):
    exact = build(model)
    keras.config.set_dtype_policy(policy)
    try:
        layer = build(model)
    finally:
        keras.config.set_dtype_policy("float32")
    layer.set_weights(exact.get_weights())
    assert all(weight.dtype == "float32" for weight in layer.weights)
    # The layers differ in rounding alone where routing, if any, sees the same numbers.
    h = to_numpy(ops.cast(ops.cast(H, policy.removeprefix("mixed_")), "float32"))
    outputs = layer(to_tensors(h))
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    assert_close(to_numpy(ops.cast(outputs, "float32")), evaluate(exact, h), tolerance)
    for path, gradient in training_gradients(layer, to_tensors(h)).items():
        assert np.isfinite(gradient).all(), path


# JAX always compiles; what is SMES but for its options is trained under XLA in tests/layers.
FITS = [(model, "auto") for model in MODELS] + [(model, True) for model in DENSE if TENSORFLOW]


@pytest.mark.parametrize(("model", "jit_compile"), FITS)
def test_fit_lowers_the_loss(model, jit_compile):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 6)).astype(np.float32)
    targets = {f"task_{t}": np.tanh(x @ rng.normal(size=(6, 1))).astype(np.float32) for t in range(3)}
    h = keras.Input((6,))
    y = build(model)(h)
    towers = {name: keras.layers.Dense(1, name=name)(y[:, t]) for t, name in enumerate(targets)}
    network = keras.Model(h, towers)
    network.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=jit_compile)
    losses = network.fit(x, targets, epochs=8, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]


@every_model
def test_takes_a_mask_and_hands_none_on(model):
    inputs = keras.Input((5, 6))
    rows = keras.layers.Masking()(inputs)[:, 0]
    h = to_tensors(H)
    keras.src.backend.set_keras_mask(h, ops.convert_to_tensor(np.arange(len(H)) < 20))
    layer = build(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outputs = layer(h)
        assert layer(rows).shape == (None, 3, 4)
    assert keras.src.backend.get_keras_mask(outputs) is None
    np.testing.assert_array_equal(to_numpy(outputs), to_numpy(layer(to_tensors(H))))


@every_model
def test_an_instance_does_not_depend_on_its_batch(model):
    outputs = evaluator(build(model))
    together = outputs(H)
    for b in (0, 5):
        assert_close(outputs(H[b : b + 1])[0], together[b], 1e-6)


@every_model
def test_refuses_inputs_of_another_rank(model):
    layer = build_experts(model, 3, OPTIONS[model])
    with pytest.raises(ValueError, match=r"`inputs` must have shape \[batch, width\]"):
        layer(np.ones((4, 5, 6), np.float32))
