"""The optimizers in `compile` and `fit`: the ways of running a step, saving, and the other backend."""

import functools

import keras
import numpy as np
import pytest
from support.optimizers import models
from support.processes import run

from keras_smes.optimizers import FusedAdam, LazyAdam, RowwiseAdagrad, SplitOptimizer

MAKERS = {
    "lazy_adam": lambda: LazyAdam(0.01),
    "clipped": lambda: LazyAdam(keras.optimizers.schedules.CosineDecay(0.02, 10), global_clipnorm=0.1),
    "split": lambda: SplitOptimizer(RowwiseAdagrad(0.05), FusedAdam(0.01)),
}
each_optimizer = pytest.mark.parametrize("name", MAKERS)


@functools.cache
def expected_weights(name):
    """The weights after two epochs of plain `fit`."""
    return models.trained(MAKERS[name](), jit_compile="auto")


@pytest.mark.tensorflow
@each_optimizer
@pytest.mark.parametrize(
    "how",
    [{"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 4}],
    ids=["eager", "xla", "steps_per_execution"],
)
def test_every_way_of_running_a_step_gives_the_same_weights(name, how):
    actual = models.trained(MAKERS[name](), **{"jit_compile": False, **how})
    models.assert_weights(actual, expected_weights(name))


@pytest.mark.tensorflow
@each_optimizer
def test_sparse_gradients_give_the_weights_of_dense_ones(name, monkeypatch):
    """Which Keras' Adam and Adagrad (3.15) don't: they square the parts of a repeated id one by one."""
    import tensorflow as tf

    expected = expected_weights(name)
    apply = keras.optimizers.Optimizer.apply

    def apply_dense(self, grads, variables=None):
        return apply(self, [tf.convert_to_tensor(gradient) for gradient in grads], variables)

    monkeypatch.setattr(keras.optimizers.Optimizer, "apply", apply_dense)
    models.assert_weights(models.trained(MAKERS[name](), jit_compile=False), expected)


def tall_tensors(optimizer, rows=12_345):
    """The ops of a training step that put out, for another to use, as many rows as the table has."""
    import tensorflow as tf

    ids = keras.Input((3,), dtype="int32")
    vectors = keras.layers.Embedding(rows, 2)(ids)
    model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(vectors)))
    model.compile(optimizer, loss="mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    step = tf.function(model.train_step, autograph=False)
    graph = step.get_concrete_function((tf.zeros([4, 3], tf.int32), tf.zeros([4, 1]))).graph
    outputs = [x for op in graph.get_operations() for x in op.outputs if x.consumers()]
    return [x.op.type for x in outputs if x.shape[:1] == [rows]]


@pytest.mark.tensorflow
@each_optimizer
def test_a_step_has_no_tensor_as_tall_as_the_table(name):
    """But the read of the layer, which shares the variable's memory."""
    assert tall_tensors(MAKERS[name]()) == ["ReadVariableOp"]
    assert len(tall_tensors(keras.optimizers.Adam())) > 1


@pytest.mark.tensorflow
def test_two_replicas_give_the_weights_of_one(tmp_path):
    """Each replica has rows of its own, met by both or by one: their gradients are summed first."""
    script = """
import numpy, sys, tensorflow as tf
from optimizers import test_fit
from support.optimizers import models
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    made = {n: models.trained(test_fit.MAKERS[n](), jit_compile=False) for n in ("lazy_adam", "split")}
numpy.savez(sys.argv[1], **{f"{n}.{i}": w for n, weights in made.items() for i, w in enumerate(weights)})
"""
    weights = saved_by(script, tmp_path / "weights.npz")
    for name in ("lazy_adam", "split"):
        expected = expected_weights(name)
        models.assert_weights([weights[f"{name}.{i}"] for i in range(len(expected))], expected)


def saved_by(script, path, **environment):
    """The arrays that a Python of its own saves at the path it is given."""
    process = run(script, (path,), path.with_name("log"), **environment)
    assert process.wait() == 0, process.output
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.tensorflow
def test_jax_gives_the_weights_of_tensorflow(tmp_path):
    script = (
        "import numpy, sys; from optimizers import test_fit as t;"
        "from support.optimizers import models;"
        "numpy.savez(sys.argv[1], **{f'{n}.{i}': w for n, make in t.MAKERS.items()"
        " for i, w in enumerate(models.trained(make()))})"
    )
    weights = saved_by(script, tmp_path / "weights.npz", KERAS_BACKEND="jax")
    for name in MAKERS:
        expected = expected_weights(name)
        models.assert_weights([weights[f"{name}.{i}"] for i in range(len(expected))], expected)


@each_optimizer
def test_resumed_training_equals_uninterrupted_training(name, tmp_path):
    expected = models.trained(MAKERS[name]())
    model = models.build()
    model.compile(MAKERS[name](), loss="mse")
    models.fit(model, models.data(), epochs=1)
    model.save(tmp_path / "model.keras")
    resumed = keras.saving.load_model(tmp_path / "model.keras")
    models.fit(resumed, models.data(), epochs=1)
    models.assert_weights(resumed.get_weights(), expected, tolerance=0)


@pytest.mark.tensorflow
@each_optimizer
def test_a_tensorflow_checkpoint_resumes(name, tmp_path):
    import tensorflow as tf

    expected = expected_weights(name)
    model = models.build()
    model.compile(MAKERS[name](), loss="mse")
    models.fit(model, models.data(), epochs=1)
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(tmp_path / "checkpoint")
    again = models.build()
    again.compile(MAKERS[name](), loss="mse")
    again.optimizer.build(again.trainable_variables)
    tf.train.Checkpoint(model=again, optimizer=again.optimizer).restore(path).assert_consumed()
    models.fit(again, models.data(), epochs=1)
    models.assert_weights(again.get_weights(), expected, tolerance=0)


@each_optimizer
def test_rows_that_are_never_met_stay(name):
    before, after = models.build().get_weights(), expected_weights(name)
    for table in (0, 1):
        np.testing.assert_array_equal(after[table][-2:], before[table][-2:])
        assert np.all(np.any(after[table][:-2] != before[table][:-2], axis=1))


@each_optimizer
def test_a_scaled_loss_gives_the_same_weights(name):
    """The scale is a power of two: exact, but for how it is folded into compiled arithmetic."""
    scaled = models.trained(keras.optimizers.LossScaleOptimizer(MAKERS[name]()))
    models.assert_weights(scaled, expected_weights(name))


def test_an_overflow_skips_the_step():
    model = models.build()
    model.compile(keras.optimizers.LossScaleOptimizer(LazyAdam(0.01), initial_scale=1e38), loss="mse")
    before = model.get_weights()
    inputs, labels = models.data(batches=1)
    models.fit(model, (inputs, 100 * labels))
    models.assert_weights(model.get_weights(), before, tolerance=0)
    assert int(model.optimizer.iterations) == 0


@each_optimizer
def test_mixed_float16_trains(name):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = models.build()
        model.compile(MAKERS[name](), loss="mse")
        losses = models.fit(model, models.data(), epochs=8).history["loss"]
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert losses[-1] < losses[0]
