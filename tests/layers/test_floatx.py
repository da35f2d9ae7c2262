"""Under another `keras.config.set_floatx`: layers, tasks, losses and metrics in `fit`, with regularizers."""

import keras
import numpy as np
import pytest

from keras_smes import SMES, BinaryTask, RegressionTask, SharedSubsetRouter
from keras_smes.baselines import PLE, HoME, MMoE, NaiveSparse, SharedBottom, TaskBalancedSMES
from keras_smes.layers import TaskTower
from keras_smes.losses import DynamicWeightAverage, FixedWeights, UncertaintyWeights

LAYERS = {
    "smes": lambda: SMES(2, 8, 1, 1, (8, 4)),
    "task_balance": lambda: TaskBalancedSMES(2, 8, 1, 1, (8, 4)),
    "naive_sparse": lambda: NaiveSparse(2, 8, 2, (8, 4)),
    "mmoe": lambda: MMoE(2, 4, (8, 4)),
    "ple": lambda: PLE(2, 1, 1, (8, 4)),
    "shared_bottom": lambda: SharedBottom(2, (8, 4)),
    "home": lambda: HoME(2, [[0, 1]], (8, 4)),
}
BALANCES = {
    "fixed": lambda: FixedWeights({"a": 1.0, "b": 2.0}),
    "uncertainty": lambda: UncertaintyWeights(["a", "b"]),
    "dwa": lambda: DynamicWeightAverage(["a", "b"]),
}
each_floatx = pytest.mark.parametrize("floatx", ["float64", "float16", "bfloat16"])


@pytest.fixture(autouse=True)
def _as_from_the_start(request):
    """Sets the type as a program does in its first line, before there is a policy."""
    if request.getfixturevalue("floatx") == "bfloat16" and keras.backend.backend() == "jax":
        pytest.skip("there Keras 3.15 makes bfloat16 of Python's integers: `ops.take(x, 0)` fails")
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(request.getfixturevalue("floatx"))
    keras.config.set_dtype_policy(request.getfixturevalue("floatx"))
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def rows():
    generator = np.random.default_rng(0)
    return generator.normal(size=(64, 12)), {task: (generator.random(64) < 0.5) * 1.0 for task in "ab"}


def two_towers(layer):
    h = keras.Input((12,))
    mixed = keras.ops.unstack(layer(keras.layers.Dense(12, kernel_regularizer="l2")(h)), 2, axis=1)
    return keras.Model(h, {task: TaskTower(name=task)(own) for task, own in zip("ab", mixed, strict=True)})


def falls(model):
    history = [float(loss) for loss in model.fit(*rows(), epochs=4, batch_size=32, verbose=0).history["loss"]]
    assert np.all(np.isfinite(history))
    assert history[-1] < history[0]


@pytest.mark.parametrize(
    ("name", "floatx"),
    [*((name, "float64") for name in LAYERS), ("smes", "float16"), ("home", "float16"), ("smes", "bfloat16")],
)
def test_layers_train_by_the_losses_of_keras(name, floatx):
    model = two_towers(LAYERS[name]())
    model.compile(keras.optimizers.SGD(0.02), dict.fromkeys("ab", "mse"))
    falls(model)


@each_floatx
def test_tasks_train_with_balance_and_regularizers(floatx):
    tasks = {"a": BinaryTask("a"), "b": RegressionTask("b", mean=0.0, std=1.0)}
    model = two_towers(LAYERS["smes"]())
    model.compile(keras.optimizers.SGD(0.02), {name: task.loss() for name, task in tasks.items()})
    falls(model)


class Balanced(keras.Model):
    def __init__(self, core, balance):
        super().__init__()
        self.core, self.balance = core, balance

    def call(self, inputs):
        return self.core(inputs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        error = keras.losses.MeanSquaredError()
        losses = {task: error(y[task], y_pred[task]) for task in self.balance.tasks}
        return self.balance(losses, training=training) + sum(self.losses)


@pytest.mark.parametrize("floatx", ["float64", "float16"])
@pytest.mark.parametrize("name", BALANCES)
def test_balances_of_losses_train(floatx, name):
    model = Balanced(two_towers(LAYERS["smes"]()), BALANCES[name]())
    model.compile(keras.optimizers.SGD(0.02))
    falls(model)


@each_floatx
def test_a_regularized_router_trains(floatx):
    from keras_smes import ExpertPool, PrivateExpertGate

    h = keras.Input((12,))
    routing = PrivateExpertGate(1)(SharedSubsetRouter(2, 8, 1, kernel_regularizer="l2")(h))
    mixed = keras.ops.unstack(ExpertPool(8, (4,), kernel_regularizer="l2")(h, routing), 2, axis=1)
    model = keras.Model(h, {t: TaskTower(name=t)(own) for t, own in zip("ab", mixed, strict=True)})
    model.compile(keras.optimizers.SGD(0.02), dict.fromkeys("ab", "mse"))
    falls(model)
