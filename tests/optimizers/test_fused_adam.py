"""FusedAdam against a loop in NumPy and against Keras' own Adam."""

import keras
import numpy as np
import pytest
from keras import ops
from support.optimizers import models, reference
from support.optimizers.models import dense, draw_steps, sparse, tables_after

from keras_smes.optimizers import FusedAdam

SHAPE = (12, 3)
TABLE = np.random.default_rng(1).normal(size=SHAPE)
RULE = {"beta_1": 0.5, "beta_2": 0.8, "epsilon": 0.1}


def whole(count=5):
    """Steps in which each entry has a gradient: where Adam and lazy Adam are the same."""
    generator = np.random.default_rng(3)
    return [(np.arange(12), generator.normal(size=SHAPE).astype(np.float32)) for _ in range(count)]


@pytest.mark.parametrize("rule", [{}, RULE])
def test_equals_a_loop_in_numpy(rule):
    actual = tables_after(FusedAdam(0.1, **rule), TABLE, whole(), dense)
    np.testing.assert_allclose(actual, reference.lazy_adam(TABLE, whole(), 0.1, **rule), rtol=0, atol=1e-5)


def after_steps(optimizer, dtype, form, steps):
    """The variable and its moments after some steps, as float64."""
    variable = keras.Variable(TABLE, dtype=dtype)
    optimizer.build([variable])
    for step in steps:
        optimizer.apply([form(step, SHAPE)], [variable])
    kept = [variable, *optimizer.variables[2:]]  # after the count of steps and the learning rate
    return [ops.convert_to_numpy(ops.cast(value, "float64")) for value in kept]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5), ("float16", 0), ("bfloat16", 0)]
)
@pytest.mark.parametrize("options", [{}, RULE, {"weight_decay": 0.1}, {"clipnorm": 0.5}])
def test_equals_keras_adam_in_each_dtype(dtype, tolerance, options):
    """Weights and moments; float32 has five digits of 1 - beta_2."""
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 8)
    actual = after_steps(FusedAdam(schedule, **options), dtype, dense, whole())
    expected = after_steps(keras.optimizers.Adam(schedule, **options), dtype, dense, whole())
    for found, wanted in zip(actual, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("options", "form"),
    [({"amsgrad": True}, dense), pytest.param({}, sparse, marks=pytest.mark.tensorflow)],
)
def test_what_the_kernel_cannot_do_is_left_to_keras(options, form):
    actual = after_steps(FusedAdam(0.1, **options), "float32", form, draw_steps())
    expected = after_steps(keras.optimizers.Adam(0.1, **options), "float32", form, draw_steps())
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.tensorflow
def test_a_step_goes_over_a_weight_once():
    import tensorflow as tf

    variable = keras.Variable(np.zeros((123, 45), np.float32))
    optimizer = FusedAdam()
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    graph = step.get_concrete_function(tf.zeros((123, 45))).graph
    large = [op for op in graph.get_operations() for x in [*op.inputs, *op.outputs] if x.shape == (123, 45)]
    no_pass = {"Identity", "IdentityN", "Placeholder"}
    assert [op.type for op in large if op.type not in no_pass] == ["ResourceApplyAdam"]


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("first", "then"), [(keras.optimizers.Adam, FusedAdam), (FusedAdam, keras.optimizers.Adam)]
)
def test_each_goes_on_from_a_checkpoint_of_the_other(first, then, tmp_path):
    import tensorflow as tf

    model = models.build()
    model.compile(first(0.01), loss="mse", jit_compile=True)  # where gradients of tables are dense
    models.fit(model, models.data())
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(tmp_path / "checkpoint")
    models.fit(model, models.data())
    again = models.build()
    again.compile(then(0.01), loss="mse", jit_compile=True)
    again.optimizer.build(again.trainable_variables)
    tf.train.Checkpoint(model=again, optimizer=again.optimizer).restore(path).assert_consumed()
    models.fit(again, models.data())
    models.assert_weights(again.get_weights(), model.get_weights(), tolerance=1e-6)


def test_the_configuration_survives():
    optimizer = FusedAdam(0.25, beta_1=0.5, weight_decay=0.1, name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is FusedAdam
    assert again.get_config() == optimizer.get_config()
