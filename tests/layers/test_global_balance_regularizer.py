import keras
import numpy as np
import pytest
from support import oracle
from support.backends import TENSORFLOW, assert_close, to_numpy, to_tensors
from support.cases import EDGES, problem
from support.layer_contract import (
    assert_config_round_trip,
    assert_runs_everywhere,
    assert_saves,
    assert_shapes,
    functional,
)

from keras_smes import GlobalBalanceRegularizer

CASE = problem(EDGES["usual"])
ROUTE = CASE.route()
ROUTING = {"probabilities": ROUTE.probabilities.astype(np.float32), "chosen": ROUTE.chosen}
MASK = np.array([True, True, False, True, False, True, True])


def losses_of(layer, **kwargs):
    layer(to_tensors(ROUTING), **kwargs)
    return to_numpy(layer.losses)


def test_adds_the_weighted_loss_in_training_only():
    layer = GlobalBalanceRegularizer(0.25)
    assert_close(
        losses_of(layer, training=True), [0.25 * oracle.balance_loss(ROUTE.probabilities, ROUTE.chosen)]
    )
    assert losses_of(layer, training=False) == []
    assert losses_of(layer) == []


def test_a_weight_of_zero_adds_no_loss():
    assert losses_of(GlobalBalanceRegularizer(0), training=True) == []


def test_masked_rows_do_not_count():
    (loss,) = losses_of(GlobalBalanceRegularizer(0.5), mask=MASK, training=True)
    assert_close(loss, 0.5 * oracle.balance_loss(ROUTE.probabilities, ROUTE.chosen, MASK))


def test_finds_the_mask_that_keras_carries_with_the_tensors():
    routing = to_tensors(ROUTING)
    keras.src.backend.set_keras_mask(routing["chosen"], keras.ops.convert_to_tensor(MASK))
    layer = GlobalBalanceRegularizer(0.5)
    layer(routing, training=True)
    assert_close(layer.losses[0], 0.5 * oracle.balance_loss(ROUTE.probabilities, ROUTE.chosen, MASK))


def test_passes_the_routing_on():
    found = to_numpy(GlobalBalanceRegularizer()(to_tensors(ROUTING), training=True))
    assert set(found) == set(ROUTING)
    for name, array in ROUTING.items():
        np.testing.assert_array_equal(found[name], array)


def test_the_loss_is_float32_under_mixed_precision():
    (loss,) = losses_of(GlobalBalanceRegularizer(1.0, dtype="mixed_bfloat16"), training=True)
    assert loss.dtype == np.float32
    assert_close(loss, oracle.balance_loss(ROUTE.probabilities, ROUTE.chosen))


def test_a_model_trains_on_the_loss_and_evaluates_without_it():
    model = functional(GlobalBalanceRegularizer(0.5), (ROUTING,))
    model.compile("sgd", loss={"probabilities": "mse", "chosen": None})
    targets = {"probabilities": np.zeros_like(ROUTING["probabilities"])}
    rows = {"batch_size": len(MASK), "verbose": 0}
    trained = model.fit([ROUTING], targets, **rows).history["loss"][0]
    evaluated = model.evaluate([ROUTING], targets, **rows)
    added = 0.5 * oracle.balance_loss(ROUTE.probabilities, ROUTE.chosen)
    assert_close(trained - np.ravel(evaluated)[0], added)


def test_shapes():
    assert_shapes(GlobalBalanceRegularizer(), (ROUTING,))


def test_runs_everywhere():
    assert_runs_everywhere(GlobalBalanceRegularizer(), (ROUTING,))


@pytest.mark.skipif(not TENSORFLOW, reason="a tf.function")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_adds_the_loss_in_a_graph(jit_compile):
    import tensorflow as tf

    layer = GlobalBalanceRegularizer(0.5)

    @tf.function(jit_compile=jit_compile)
    def loss(routing):
        layer(routing, training=True)
        return layer.losses[0]

    assert_close(loss(to_tensors(ROUTING)), 0.5 * oracle.balance_loss(ROUTE.probabilities, ROUTE.chosen))


def test_saves(tmp_path):
    assert_saves(GlobalBalanceRegularizer(0.5), (ROUTING,), tmp_path)


def test_config_round_trip():
    assert_config_round_trip(GlobalBalanceRegularizer, {"weight": 0.125})


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), True, "1", None])
def test_refuses(value):
    with pytest.raises(ValueError, match="`weight`") as refusal:
        GlobalBalanceRegularizer(value)
    assert f"weight={value!r}" in str(refusal.value)
