"""LazyAdam and RowwiseAdagrad against loops in NumPy and Keras' dense Adam, in each form of gradient."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from support.backends import TENSORFLOW
from support.optimizers import reference
from support.optimizers.models import dense, draw_steps, sparse, tables_after

from keras_smes.optimizers import LazyAdam, RowwiseAdagrad

FORMS = [dense, pytest.param(sparse, marks=pytest.mark.tensorflow)]
PAIRS = [(LazyAdam, reference.lazy_adam), (RowwiseAdagrad, reference.rowwise_adagrad)]
TABLE = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
each_form = pytest.mark.parametrize("form", FORMS)
each_optimizer = pytest.mark.parametrize(("optimizer", "expected"), PAIRS)


def assert_tables(actual, expected):
    # 1 - 0.999^n has five digits in float32, in Keras' Adam too.
    np.testing.assert_allclose(np.stack(actual), np.stack(expected), rtol=0, atol=1e-5)


@each_form
@each_optimizer
def test_equals_a_loop_over_rows_with_repeated_ids(optimizer, expected, form):
    steps = draw_steps()
    assert_tables(tables_after(optimizer(0.1), TABLE, steps, form), expected(TABLE, steps, 0.1))


@each_form
def test_every_argument_of_the_rule_counts(form):
    steps = draw_steps()
    adam = LazyAdam(0.1, beta_1=0.5, beta_2=0.8, epsilon=0.1)
    assert_tables(
        tables_after(adam, TABLE, steps, form), reference.lazy_adam(TABLE, steps, 0.1, 0.5, 0.8, 0.1)
    )
    adagrad = RowwiseAdagrad(0.1, initial_accumulator_value=0.3, epsilon=0.1)
    expected = reference.rowwise_adagrad(TABLE, steps, 0.1, 0.3, 0.1)
    assert_tables(tables_after(adagrad, TABLE, steps, form), expected)


@each_form
def test_rowwise_adagrad_by_hand(form):
    # Row 1 is looked up twice: g = (1, 2) + (2, 2) = (3, 4), a = (9 + 16) / 2 = 12.5.
    #   w = 0 - 0.5 * (3, 4) / sqrt(12.5) = -(0.424264, 0.565685)
    gradients = (np.array([1, 1]), np.array([[1, 2], [2, 2]], np.float32))
    (table,) = tables_after(RowwiseAdagrad(0.5), np.zeros((3, 2)), [gradients], form)
    np.testing.assert_allclose(table, [[0, 0], [-0.424264, -0.565685], [0, 0]], atol=1e-6)


@each_form
def test_a_row_first_met_late_is_not_corrected_for_bias(form):
    """The count of steps is the optimizer's: what `LazyAdam` says of its first step."""
    steps = [(np.array([0]), np.ones((1, 3), np.float32))] * 999 + [
        (np.array([1]), np.ones((1, 3), np.float32))
    ]
    optimizer = LazyAdam(0.1, beta_2=0.99)
    variable = keras.Variable(np.zeros((2, 3), np.float32))
    optimizer.build([variable])
    optimizer.iterations.assign(999)
    optimizer.apply([form(steps[-1], (2, 3))], [variable])
    first_step = 0.1 * (1 - 0.9) / np.sqrt(1 - 0.99)
    np.testing.assert_allclose(ops.convert_to_numpy(variable)[1], -first_step, rtol=1e-3)


@each_form
def test_lazy_adam_is_adam_where_every_row_is_touched(form):
    generator = np.random.default_rng(3)
    steps = [(np.arange(12), generator.normal(size=(12, 3)).astype(np.float32)) for _ in range(5)]
    adam = tables_after(keras.optimizers.Adam(0.1), TABLE, steps, dense)
    assert_tables(tables_after(LazyAdam(0.1), TABLE, steps, form), adam)


@pytest.mark.parametrize("optimizer", [LazyAdam, RowwiseAdagrad])
@pytest.mark.parametrize("shape", [(), (5,), (5, 2, 3)])
def test_any_rank(optimizer, shape):
    """A vector's rows are its entries: row-wise Adagrad on it is Adagrad."""
    variable = keras.Variable(np.ones(shape, np.float32))
    optimizer = optimizer(0.1)
    optimizer.build([variable])
    optimizer.apply([ops.full(shape, 2.0)], [variable])
    np.testing.assert_allclose(ops.convert_to_numpy(variable), np.full(shape, 0.9), rtol=1e-5)


@each_form
@each_optimizer
def test_rows_without_gradient_keep_weights_and_state(optimizer, expected, form):
    """Also a row that was looked up and got a gradient of zero."""
    steps = draw_steps(2)
    steps[1] = (np.array([4, 5, 5]), np.array([[0, 0, 0], [1, 2, 3], [-1, -2, -3]], np.float32))
    optimizer = optimizer(0.1)
    variable = keras.Variable(TABLE)
    optimizer.build([variable])
    optimizer.apply([form(steps[0], TABLE.shape)], [variable])
    before = [ops.convert_to_numpy(state).copy() for state in (variable, optimizer.state_of(variable))]
    optimizer.apply([form(steps[1], TABLE.shape)], [variable])
    for state, old in zip((variable, optimizer.state_of(variable)), before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(state), old)


@each_form
@each_optimizer
@pytest.mark.parametrize("argument", ["clipnorm", "global_clipnorm"])
def test_norms_are_those_of_the_summed_rows(optimizer, expected, form, argument):
    steps = draw_steps()
    tables = tables_after(optimizer(0.1, **{argument: 1.5}), TABLE, steps, form)
    assert_tables(tables, expected(TABLE, [reference.clipped(step, 1.5) for step in steps], 0.1))


@each_form
@each_optimizer
def test_values_are_clipped_after_summing(optimizer, expected, form):
    steps = draw_steps()
    rows = [reference.summed(step) for step in steps]
    clipped = [(list(row), [np.clip(g, -0.7, 0.7) for g in row.values()]) for row in rows]
    tables = tables_after(optimizer(0.1, clipvalue=0.7), TABLE, steps, form)
    assert_tables(tables, expected(TABLE, clipped, 0.1))


@pytest.mark.tensorflow
def test_the_global_norm_is_over_all_variables():
    # Norms 3 (row 0 twice 1.5) and 4 make 5: a limit of 2.5 halves both.
    table, kernel = keras.Variable(np.zeros((3, 1), np.float32)), keras.Variable(np.zeros((1,), np.float32))
    optimizer = RowwiseAdagrad(1.0, initial_accumulator_value=1.0, epsilon=0.0, global_clipnorm=2.5)
    gradients = [sparse((np.array([0, 0]), np.full((2, 1), 1.5, np.float32)), (3, 1)), ops.array([4.0])]
    optimizer.apply(gradients, [table, kernel])
    np.testing.assert_allclose(ops.convert_to_numpy(table)[0], -1.5 / np.sqrt(1 + 1.5**2), rtol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(kernel), -2.0 / np.sqrt(1 + 2.0**2), rtol=1e-6)


@each_form
def test_learning_rate_schedules_are_followed(form):
    steps = draw_steps(4)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.0])
    tables = tables_after(RowwiseAdagrad(schedule), TABLE, steps, form)
    expected = reference.rowwise_adagrad(TABLE, steps, 0.1)
    assert_tables(tables, [expected[0], expected[1], expected[1], expected[1]])


@pytest.mark.parametrize("optimizer", [LazyAdam, RowwiseAdagrad])
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("weight_decay", 0.01),
        ("use_ema", True),
        ("gradient_accumulation_steps", 2),
        ("loss_scale_factor", 8.0),
        ("lerning_rate", 0.1),
        ("epsilon", -1.0),
    ],
)
def test_what_it_cannot_do_is_refused(optimizer, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}`.*Received: {argument}={value}"):
        optimizer(0.1, **{argument: value})


@pytest.mark.parametrize(("argument", "value"), [("beta_1", 1.0), ("beta_2", -0.1), ("beta_1", "0.9")])
def test_decays_out_of_range_are_refused(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be .*Received: {argument}={value!r}"):
        LazyAdam(**{argument: value})


def test_two_ways_of_clipping_are_refused():
    with pytest.raises(ValueError, match="Only one of `clipnorm`"):
        LazyAdam(clipnorm=1.0, clipvalue=1.0)


@pytest.mark.parametrize(
    "optimizer",
    [
        LazyAdam(0.25, beta_1=0.5, beta_2=0.75, epsilon=0.125, clipnorm=2.0, name="mine"),
        RowwiseAdagrad(0.25, initial_accumulator_value=0.5, epsilon=0.125, global_clipnorm=2.0, name="mine"),
        LazyAdam(keras.optimizers.schedules.CosineDecay(0.1, 100), clipvalue=3.0),
    ],
)
def test_the_configuration_survives_json(optimizer):
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(optimizer)))
    again = keras.saving.deserialize_keras_object(stored)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()


@pytest.mark.skipif(TENSORFLOW, reason="that `stateless_apply` is of JAX")
@each_optimizer
def test_stateless_on_jax(optimizer, expected):
    steps = draw_steps(3)
    optimizer, variable = optimizer(0.1), keras.Variable(TABLE)
    optimizer.build([variable])
    weights, state = [variable.value], [v.value for v in optimizer.variables]
    for step in steps:
        weights, state = optimizer.stateless_apply(state, [dense(step, TABLE.shape)], weights)
    np.testing.assert_allclose(weights[0], expected(TABLE, steps, 0.1)[-1], atol=2e-6)


@pytest.mark.tensorflow
@each_form
@each_optimizer
def test_a_variable_of_tensorflow_is_optimized_too(optimizer, expected, form):
    import tensorflow as tf

    steps = draw_steps()
    variable, made = tf.Variable(TABLE, name="table"), optimizer(0.1)
    tables = []
    for step in steps:
        made.apply_gradients([(form(step, TABLE.shape), variable)])
        tables.append(variable.numpy())
    assert_tables(tables, expected(TABLE, steps, 0.1))
