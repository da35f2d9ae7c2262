"""Fixed, uncertainty and dynamic weights against numbers worked by hand, and as layers of a model."""

import json
import math

import keras
import numpy as np
import pytest
from support.backends import gradients

from keras_smes.losses import DynamicWeightAverage, FixedWeights, GradNorm, UncertaintyWeights

EACH = [
    FixedWeights({"click": 1.0, "like": 0.5}, name="mine"),
    UncertaintyWeights(["click", "like"], gaussian=["like"], name="mine"),
    DynamicWeightAverage(["click", "like"], temperature=1.0, name="mine"),
    GradNorm(["click", "like"], alpha=0.5, learning_rate=0.1, name="mine"),
]
each_balance = pytest.mark.parametrize("balance", EACH, ids=lambda balance: type(balance).__name__)


def by_task(*losses):
    return dict(zip(("click", "like", "view"), map(np.float32, losses), strict=False))


def numbers(variable):
    return keras.ops.convert_to_numpy(variable)


def test_fixed_by_hand():
    balance = FixedWeights({"click": 1.0, "like": 10.0})
    assert float(balance(dict(reversed(by_task(0.5, 0.02).items())))) == pytest.approx(
        1.0 * 0.5 + 10.0 * 0.02
    )


def test_uncertainty_by_hand():
    balance = UncertaintyWeights(["click", "watch"], gaussian=["watch"])
    balance.log_variances.assign([math.log(4.0), math.log(9.0)])  # sigma 2 and 3
    # click 0.8 / 4 + log 2, watch 3.6 / (2 * 9) + log 3
    expected = 0.2 + math.log(2) + 0.2 + math.log(3)
    assert float(balance({"click": np.float32(0.8), "watch": np.float32(3.6)})) == pytest.approx(
        expected, rel=1e-6
    )


def test_uncertainty_by_hand_derivative():
    # dL/dL[t] = c exp(-s); at s = log(2 c L) the derivative by s, 1/2 - c exp(-s) L, vanishes.
    balance = UncertaintyWeights(["click", "watch"], gaussian=["watch"])
    balance.log_variances.assign([math.log(2 * 0.8), math.log(3.6)])

    def total(tensors):
        return balance({"click": tensors[0], "watch": tensors[1]})

    found = gradients(total, [np.float32(0.8), np.float32(3.6)])
    np.testing.assert_allclose(found, [1 / 1.6, 0.5 / 3.6], rtol=1e-6)
    losses_s = gradients(
        lambda tensors: keras.ops.sum(
            keras.ops.array([1.0, 0.5]) * keras.ops.exp(-tensors[0]) * keras.ops.array([0.8, 3.6])
            + tensors[0] / 2
        ),
        [np.array([math.log(1.6), math.log(3.6)], np.float32)],
    )
    np.testing.assert_allclose(losses_s[0], [0, 0], atol=1e-6)


def test_dynamic_weight_average_by_hand():
    balance = DynamicWeightAverage(["click", "like"], temperature=2.0)
    epochs = [[(0.8, 2.0), (1.2, 4.0)], [(0.5, 3.0)], [(0.5, 1.5)]]  # means (1, 3), (0.5, 3), (0.5, 1.5)
    weights = []
    for steps in epochs:
        for losses in steps:
            balance(by_task(*losses), training=True)
        balance(by_task(1e6, 1e6), training=False)  # validation: not counted
        balance.end_epoch()
        weights.append(numbers(balance.task_weights))
    # after 1: too few epochs; after 2: r = (0.5, 1); after 3: r = (1, 0.5)
    e_1, e_2 = math.exp(0.25), math.exp(0.5)
    fast, slow = 2 * e_1 / (e_1 + e_2), 2 * e_2 / (e_1 + e_2)
    np.testing.assert_allclose(weights, [[1, 1], [fast, slow], [slow, fast]], rtol=1e-6)
    assert float(balance(by_task(1.0, 10.0))) == pytest.approx(slow + 10 * fast, rel=1e-6)


@pytest.mark.parametrize("loss", [0.0, 0.7])
def test_uncertainty_has_no_gradient_without_a_row(loss):
    """1/2 - exp(-s) L by s where there are rows; 0 where there are none, whatever s."""
    balance = UncertaintyWeights(["buy"])

    def total(tensors):
        (s_t,) = tensors
        with keras.StatelessScope([(balance.log_variances, s_t)]):
            return balance({"buy": np.float32(loss)}, training=True)

    (found,) = gradients(total, [np.array([0.2], np.float32)])
    np.testing.assert_allclose(found, [(0.5 - math.exp(-0.2) * loss) * (loss > 0)], rtol=1e-6)


def test_a_task_without_a_row_leaves_uncertainty_alone():
    balance = UncertaintyWeights(["click", "buy"])
    balance.log_variances.assign([0.5, -0.3])
    assert float(balance(by_task(0.8) | {"buy": np.float32(0)})) == pytest.approx(
        math.exp(-0.5) * 0.8 + 0.25, rel=1e-6
    )


def test_dynamic_weight_average_is_over_the_batches_that_have_rows():
    """One of ten batches has rows of like: the means, and so the weights, are those of such batches."""
    rare, dense = (DynamicWeightAverage(["click", "like"], temperature=2.0) for _ in range(2))
    generator = np.random.default_rng(0)
    for epoch in range(3):
        like = 1.0 / (1 + epoch)
        count = generator.integers(1, 10)  # another share in each epoch
        for n in range(10):
            rare(by_task(0.8, like if n < count else 0.0), training=True)
        dense(by_task(0.8, like), training=True)
        for balance in (rare, dense):
            balance.end_epoch()
    np.testing.assert_allclose(numbers(rare.task_weights), numbers(dense.task_weights), rtol=1e-5)
    assert numbers(rare.task_weights)[1] < 0.95


def test_an_epoch_in_which_a_task_has_no_row_is_none_of_its_own():
    balance = DynamicWeightAverage(["click", "like"], temperature=2.0)
    for losses in [(1.0, 1.0), (1.0, 0.5), (1.0, 0.0)]:
        balance(by_task(*losses), training=True)
        balance.end_epoch()
    click, like = numbers(balance.task_weights)
    expected = 2 * np.exp([0.5, 0.25]) / np.exp([0.5, 0.25]).sum()  # r = (1, 0.5), the latter of two epochs
    np.testing.assert_allclose([click, like], expected, rtol=1e-6)


def test_an_epoch_without_steps_changes_nothing():
    balance = DynamicWeightAverage(["click", "like"])
    balance.end_epoch()
    assert float(balance(by_task(1.0, 2.0))) == 3.0


@each_balance
def test_the_configuration_survives_json(balance):
    again = type(balance).from_config(json.loads(json.dumps(balance.get_config())))
    assert again.get_config() == balance.get_config()


@each_balance
@pytest.mark.parametrize("losses", [by_task(1.0), by_task(1.0, 1.0, 1.0)])
def test_losses_of_other_tasks_are_refused(balance, losses):
    with pytest.raises(ValueError, match=r"`losses` must hold one loss for each of tasks="):
        balance(losses)


@pytest.mark.parametrize("kind", [UncertaintyWeights, DynamicWeightAverage, GradNorm])
@pytest.mark.parametrize("tasks", [[], ["a", "a"], "click", [1]])
def test_what_names_no_tasks_is_refused(kind, tasks):
    with pytest.raises(ValueError, match="`tasks` must be a list of names"):
        kind(tasks)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FixedWeights({"a": -1.0}), r"`weights\[a\]` must be .*Received: weights\[a\]=-1.0"),
        (lambda: UncertaintyWeights(["a"], gaussian=["b"]), r"`gaussian` must be .*\['b'\]"),
        (lambda: DynamicWeightAverage(["a"], temperature=0), "`temperature` must be .*temperature=0"),
        (lambda: GradNorm(["a"], alpha=-1), "`alpha` must be .*alpha=-1"),
        (lambda: GradNorm(["a"], learning_rate=math.nan), "`learning_rate` must be .*nan"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class TwoTasks(keras.Model):
    """What the docstrings tell users to write."""

    def __init__(self, core, balance):
        super().__init__()
        self.core, self.balance = core, balance

    def call(self, inputs):
        return self.core(inputs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        error = keras.losses.MeanSquaredError()
        losses = {task: error(y[task], y_pred[task]) for task in self.balance.tasks}
        return self.balance(losses, training=training) + sum(self.losses)


def two_tasks(balance):
    inputs = keras.Input((3,))
    core = keras.Model(inputs, {task: keras.layers.Dense(1)(inputs) for task in ("click", "like")})
    model = TwoTasks(core, balance)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def rows():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(64, 3)).astype(np.float32)
    return inputs, {"click": inputs[:, :1], "like": 3 * generator.normal(size=(64, 1)).astype(np.float32)}


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedWeights({"click": 1.0, "like": 1.0}),
        lambda: UncertaintyWeights(["click", "like"]),
        lambda: DynamicWeightAverage(["click", "like"]),
    ],
)
def test_in_a_model(make, tmp_path):
    balance = make()
    model = two_tasks(balance)
    close = getattr(balance, "end_epoch", lambda: None)
    epochs = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: close())
    inputs, labels = rows()
    arguments = {"validation_data": (inputs, labels), "callbacks": [epochs], "verbose": 0, "batch_size": 8}
    error = lambda: np.mean((model.predict(inputs, verbose=0)["click"] - labels["click"]) ** 2)  # noqa: E731
    before = error()
    model.fit(inputs, labels, epochs=10, **arguments)
    assert error() < before / 2
    assert all(any(weight is v for v in model.weights) for weight in balance.weights)
    if isinstance(balance, UncertaintyWeights):  # the task of pure noise is found out
        easy, noise = numbers(balance.log_variances)
        assert easy < 0 < noise
    if isinstance(balance, DynamicWeightAverage):
        easy, noise = numbers(balance.task_weights)
        assert easy < 1 < noise
    model.save_weights(tmp_path / "all.weights.h5")
    again = two_tasks(make())
    again(inputs)
    again.load_weights(tmp_path / "all.weights.h5")
    for found, wanted in zip(again.balance.get_weights(), balance.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)
