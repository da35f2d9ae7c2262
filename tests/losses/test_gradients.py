"""GradNorm and PCGrad against numbers worked by hand and loops in NumPy, and in a `train_step`."""

import itertools

import keras
import numpy as np
import pytest
from support.backends import TENSORFLOW, to_numpy

from keras_smes.losses import GradNorm, PCGrad, task_gradients

LOSSES = {"click": np.float32(1.0), "like": np.float32(2.0)}
# Norms 2 and 1; the first one's over two variables.
GRADIENTS = {
    "click": [np.array([[1.0, 1.0]], np.float32), np.array([1.0, 1.0], np.float32)],
    "like": [np.array([[0.6, 0.0]], np.float32), np.array([0.0, 0.8], np.float32)],
}


def test_grad_norm_by_hand():
    balance = GradNorm(["click", "like"], alpha=1.0, learning_rate=0.1)
    balance.update(LOSSES, GRADIENTS)
    # The first losses: r = (1, 1), G = (2, 1), mean 1.5. w = (1 - 0.1 * 2, 1 + 0.1 * 1) = (0.8, 1.1),
    # scaled by 2 / 1.9.
    w = np.array([0.8, 1.1]) * 2 / 1.9
    np.testing.assert_allclose(balance.task_weights, w, rtol=1e-6)
    # click fell to 0.5, half; like to 1.8, nine tenths: r = (0.5, 0.9) / 0.7 = (0.714, 1.286).
    # G = (1.684, 1.158), mean 1.421: targets (1.015, 1.827): click is too large, like too small.
    balance.update({"click": np.float32(0.5), "like": np.float32(1.8)}, GRADIENTS)
    w = w + 0.1 * np.array([-2.0, 1.0])
    np.testing.assert_allclose(balance.task_weights, w * 2 / w.sum(), rtol=1e-6)
    assert float(balance(LOSSES)) == pytest.approx(float(np.sum(w * 2 / w.sum() * [1, 2])), rel=1e-6)


def test_grad_norm_alpha():
    """With alpha 0 all norms are to be equal, whatever the losses: the largest weight goes down."""
    balance = GradNorm(["click", "like"], alpha=0.0, learning_rate=0.1)
    balance.update(LOSSES, GRADIENTS)
    balance.update({"click": np.float32(1.0), "like": np.float32(0.01)}, GRADIENTS)
    click, like = np.asarray(keras.ops.convert_to_numpy(balance.task_weights))
    assert click < 0.8 * 2 / 1.9 < 1.1 * 2 / 1.9 < like


def test_grad_norm_follows_the_numerical_derivative():
    generator = np.random.default_rng(2)
    norms, first, now = (generator.uniform(0.5, 2.0, size=4) for _ in range(3))
    tasks = [*"abcd"]
    balance = GradNorm(tasks, alpha=1.5, learning_rate=0.01)
    losses = lambda values: dict(zip(tasks, values.astype(np.float32), strict=True))  # noqa: E731
    balance.update(losses(first), {t: [np.zeros(1, np.float32)] for t in tasks})  # no step: norms of zero
    balance.update(losses(now), {t: [np.array([n], np.float32)] for t, n in zip(tasks, norms, strict=True)})
    rate = (now / first) / np.mean(now / first)
    target = np.mean(norms) * rate**1.5  # at w = 1, held constant

    def objective(w):
        return np.sum(np.abs(w * norms - target))

    slope = [(objective(1 + d) - objective(1 - d)) / 2e-6 for d in 1e-6 * np.eye(4)]
    w = 1 - 0.01 * np.array(slope)
    np.testing.assert_allclose(balance.task_weights, w * 4 / w.sum(), rtol=1e-5)


def test_grad_norm_survives_overshooting():
    balance = GradNorm(["click", "like"], learning_rate=100.0)
    balance.update(LOSSES, GRADIENTS)
    weights = keras.ops.convert_to_numpy(balance.task_weights)
    assert np.all(weights > 0)
    assert weights.sum() == pytest.approx(2.0)


def gradients_of(**norms):
    return {task: [np.array([norm], np.float32)] for task, norm in norms.items()}


def losses_of(**losses):
    return {task: np.float32(loss) for task, loss in losses.items()}


def test_grad_norm_takes_no_first_loss_from_a_batch_without_a_row():
    balance = GradNorm(["click", "buy"], alpha=1.0, learning_rate=0.1)
    balance.update(losses_of(click=1.0, buy=0.0), gradients_of(click=2.0, buy=0.0))
    np.testing.assert_array_equal(to_numpy(balance.task_weights), [1, 1])  # click alone is its own mean
    # First losses 1 and 4: r = (0.5, 1) / 0.75, G = (2, 1), targets (1, 2): click sinks, buy rises.
    balance.update(losses_of(click=0.5, buy=4.0), gradients_of(click=2.0, buy=1.0))
    np.testing.assert_allclose(to_numpy(balance.task_weights), np.array([0.8, 1.1]) * 2 / 1.9, rtol=1e-6)


@pytest.mark.parametrize("missing", [(0.0, 0.0), (3.0, np.inf), (np.nan, 1.0)])
def test_grad_norm_leaves_alone_what_a_batch_says_nothing_of(missing):
    """No counted row, or a gradient that overflowed: the other tasks are balanced among themselves."""
    balance = GradNorm(["click", "like", "buy"], alpha=1.0, learning_rate=0.1)
    pair = GradNorm(["click", "like"], alpha=1.0, learning_rate=0.1)
    for loss, gradient in ((2.0, 1.0), missing):
        balance.update(
            losses_of(click=1.0, like=2.0, buy=loss), gradients_of(click=1.5, like=1.5, buy=gradient)
        )
    first = 1 + 0.1 * np.array([-1.5, -1.5, 1.0])  # mean 4/3: buy alone is below
    first *= 3 / first.sum()
    np.testing.assert_allclose(float(balance.task_weights[2]), first[2], rtol=1e-6)
    assert float(keras.ops.sum(balance.task_weights)) == pytest.approx(3.0, rel=1e-6)
    pair.update(losses_of(click=1.0, like=2.0), gradients_of(click=1.5, like=1.5))
    np.testing.assert_array_equal(to_numpy(pair.task_weights), [1, 1])
    click, like = to_numpy(balance.task_weights)[:2]
    assert click == like


def test_grad_norm_of_a_rare_task_ends_where_it_would_with_every_batch():
    """Equal tasks keep equal weights, whatever the share of batches in which one has rows."""
    generator = np.random.default_rng(0)
    balance = GradNorm(["click", "buy"], learning_rate=0.1)
    for _ in range(200):
        has_rows = float(generator.random() < 0.2)
        balance.update(losses_of(click=0.7, buy=0.7 * has_rows), gradients_of(click=1.0, buy=has_rows))
    np.testing.assert_allclose(to_numpy(balance.task_weights), [1, 1], rtol=1e-5)


def test_pc_grad_by_hand():
    # p = [1, 0] . [-1, 1] = -1: [1, 0] + 1/2 [-1, 1] = [0.5, 0.5]; [-1, 1] + 1/1 [1, 0] = [0, 1].
    (total,) = PCGrad(seed=0)({"a": [np.array([1.0, 0.0])], "b": [np.array([-1.0, 1.0])]})
    np.testing.assert_allclose(to_numpy(total), [0.5, 1.5], rtol=1e-6)


def test_pc_grad_leaves_alone_what_agrees_or_is_zero():
    agreeing = {"a": [np.array([1.0, 1.0])], "b": [np.array([2.0, 0.0])], "c": [np.zeros(2)]}
    (total,) = PCGrad()(agreeing)
    np.testing.assert_allclose(to_numpy(total), [3.0, 1.0], rtol=1e-6)
    (alone,) = PCGrad()({"a": [np.array([[3.0]])]})
    np.testing.assert_array_equal(to_numpy(alone), [[3.0]])


def test_pc_grad_of_three_tasks_is_one_of_the_orders():
    # Each conflicts with both others, at different angles.
    vectors = np.array([[1.0, 0.0, 0.2, 0.0], [-0.5, 1.0, 0.0, 0.1], [-0.6, -0.9, 0.3, 0.5]])
    surgery = PCGrad(seed=3)
    tasks = {name: [v[:1].reshape(1, 1), v[1:]] for name, v in zip("abc", vectors, strict=True)}
    orders = list(itertools.product(*(list(itertools.permutations({0, 1, 2} - {i})) for i in range(3))))
    possible = np.array([projected(vectors, order) for order in orders])
    assert len(np.unique(possible.round(6), axis=0)) > 1  # so that the order matters here
    met = set()
    for _ in range(40):
        first, rest = surgery(tasks)
        assert first.shape == (1, 1)
        found = np.concatenate([to_numpy(first)[0], to_numpy(rest)])
        distance = np.abs(possible - found).max(axis=1)
        assert distance.min() < 1e-5
        met.add(tuple(found.round(4)))
    assert len(met) > 1


def projected(vectors, order):
    total = np.zeros(4)
    for i, others in enumerate(order):
        p = vectors[i].copy()
        for j in others:
            dot = sum(x * y for x, y in zip(p, vectors[j], strict=True))
            if dot < 0:
                p = p - dot / sum(y * y for y in vectors[j]) * vectors[j]
        total += p
    return total


def test_pc_grad_projects_over_what_a_pair_shares():
    """Each task's own variables keep their gradients, and no conflict is left on the shared one."""
    shared = {"a": np.array([1.0, 0.0]), "b": np.array([-1.0, 1.0])}
    own = {"a": np.array([7.0]), "b": np.array([-5.0, 3.0])}
    gradients = {
        "a": [shared["a"], own["a"], np.zeros(2)],
        "b": [shared["b"], np.zeros(1), own["b"]],
    }
    total = to_numpy(PCGrad(seed=0)(gradients))
    np.testing.assert_allclose(total[0], [0.5, 1.5], rtol=1e-6)  # as without the others
    np.testing.assert_array_equal(total[1], own["a"])
    np.testing.assert_array_equal(total[2], own["b"])


def test_pc_grad_of_groups_of_tasks():
    """a and b share a variable that c doesn't use: c meets each of them in the first one alone."""
    gradients = {
        "a": [np.array([1.0]), np.array([4.0, 0.0])],
        "b": [np.array([1.0]), np.array([0.0, 4.0])],
        "c": [np.array([-2.0]), np.zeros(2)],
    }
    total = to_numpy(PCGrad(seed=0)(gradients))
    # a - (-2 / 4) c = 0 in the first variable, and so is b; c - (-2 / 1) a = 0 there.
    np.testing.assert_allclose(total[0], [0.0], atol=1e-6)
    np.testing.assert_allclose(total[1], [4.0, 4.0], rtol=1e-6)


def test_pc_grad_of_no_variables():
    assert PCGrad()({"a": [], "b": []}) == []


@pytest.mark.parametrize("gradients", [{}, {"a": [np.ones(1)], "b": []}])
def test_pc_grad_refuses_what_does_not_match(gradients):
    with pytest.raises(ValueError, match="`gradients` must hold as many tensors for each task"):
        PCGrad()(gradients)


def test_pc_grad_configuration():
    surgery = PCGrad(seed=5)
    assert PCGrad.from_config(surgery.get_config()).seed == 5


@pytest.mark.skipif(TENSORFLOW, reason="TensorFlow has what it needs")
def test_task_gradients_say_what_they_need():
    with pytest.raises(NotImplementedError, match=r"needs the TensorFlow backend.*'jax'"):
        task_gradients(None, LOSSES, [])


@pytest.mark.tensorflow
def test_task_gradients_are_dense_and_complete():
    import tensorflow as tf

    table, kernel = keras.Variable(np.ones((3, 2), np.float32)), keras.Variable([2.0])
    with tf.GradientTape(persistent=True) as tape:
        rows = tf.gather(keras.ops.convert_to_tensor(table), [1, 1])
        losses = {"rows": tf.reduce_sum(rows), "kernel": kernel[0] ** 2}
    found = to_numpy(task_gradients(tape, losses, [table, kernel]))
    np.testing.assert_array_equal(found["rows"][0], [[0, 0], [2, 2], [0, 0]])
    np.testing.assert_array_equal(found["rows"][1], [0])
    np.testing.assert_array_equal(found["kernel"][0], np.zeros((3, 2)))
    np.testing.assert_array_equal(found["kernel"][1], [4])


class Balanced(keras.Model):
    """What the docstrings tell users to write."""

    def __init__(self, balance=None, surgery=None):
        super().__init__()
        self.shared = keras.layers.Dense(4, "relu")
        self.towers = {task: keras.layers.Dense(1) for task in ("click", "like")}
        self.balance, self.surgery = balance, surgery

    def call(self, inputs):
        h = self.shared(inputs)
        return {task: tower(h) for task, tower in self.towers.items()}

    def train_step(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            y_pred = self(x, training=True)
            losses = {task: keras.losses.MeanSquaredError()(y[task], y_pred[task]) for task in y}
            loss = self.balance(losses) if self.balance else sum(losses.values())
        shared = self.shared.trainable_variables
        own = [v for v in self.trainable_variables if all(v is not s for s in shared)]
        by_task = task_gradients(tape, losses, shared)
        gradients = self.surgery(by_task) if self.surgery else tape.gradient(loss, shared)
        if self.balance:
            self.balance.update(losses, by_task)
        self.optimizer.apply_gradients(
            zip([*gradients, *tape.gradient(loss, own)], [*shared, *own], strict=True)
        )
        return {**losses, "loss": loss}


@pytest.mark.tensorflow
@pytest.mark.parametrize("way", ["balance", "surgery"])
def test_in_a_train_step(way):
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(64, 3)).astype(np.float32)
    labels = {"click": inputs[:, :1], "like": -10 * inputs[:, :1]}
    ways = {"balance": GradNorm(["click", "like"]), "surgery": PCGrad(seed=1)}
    model = Balanced(**{way: ways[way]})
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    history = model.fit(inputs, labels, epochs=30, verbose=0).history
    for task in labels:
        assert history[task][-1] < history[task][0]
    if way == "balance":
        click, like = keras.ops.convert_to_numpy(model.balance.task_weights)
        assert like < 1 < click  # whose gradient is ten times as large is held back
