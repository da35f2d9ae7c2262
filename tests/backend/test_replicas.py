"""What replicas add up, in one process of two devices: pieces of unlike size, padding, an empty piece."""

import json

import numpy as np
import pytest
from support.processes import TWO_CPUS, Process, killed_at_the_end

pytestmark = pytest.mark.tensorflow

# A model of one's own in Keras' `fit`, and the balance loss of three batches cut in two.
SCRIPT = """
import json
import keras
import numpy as np
from keras_smes import SMES
from keras_smes.balance import global_balance_loss
from keras_smes.backend.replicas import mean_over_replicas, share_of_replica, with_global_value

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
two = strategy.experimental_local_results


def build():
    h = keras.Input((6,))
    # Losses of other layers before, between and after those of two mixtures.
    x = keras.layers.Dense(6, activity_regularizer="l2")(h)
    x = SMES(2, 4, 1, 1, (8, 5), balance_weight=0.5)(x)[:, 0]
    x = keras.layers.Dense(6, activity_regularizer="l2")(x)
    y = SMES(2, 4, 1, 1, (8, 3), balance_weight=0.5)(x)
    y = keras.layers.ActivityRegularization(l2=0.1)(y)
    heads = {name: keras.layers.Dense(1, name=name)(y[:, n]) for n, name in enumerate(("click", "like"))}
    model = keras.Model(h, heads)
    model.compile(keras.optimizers.SGD(0.5), loss={name: "mse" for name in heads})
    return model


def fitted(scope, weights):
    with scope:
        model = build()
    if weights is not None:
        model.set_weights(weights)
    before = model.get_weights()
    rng = np.random.default_rng(1)
    h, click, like = (rng.normal(size=(90, n)).astype("float32") for n in (6, 1, 1))
    history = model.fit(h, {"click": click, "like": like}, batch_size=16, epochs=3, shuffle=False, verbose=0)
    return before, [np.array(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables], history


keras.utils.set_random_seed(3)
weights, one, history_of_one = fitted(tf.distribute.OneDeviceStrategy("CPU:0").scope(), None)
_, spread, history = fitted(strategy.scope(), weights)


@tf.function
def of_pieces(pieces):
    def balance(piece):
        probabilities, chosen, mask, weight = piece
        with tf.GradientTape() as tape:
            tape.watch(probabilities)
            loss = global_balance_loss(probabilities, chosen, mask)
        gradient = tape.gradient(loss, probabilities)
        return mean_over_replicas(loss), gradient / 2, share_of_replica(weight), with_global_value(weight)
    return strategy.run(balance, args=(pieces,))


def cut(count, masked, seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(4), size=(7, 2)).astype("float32")
    chosen = p >= np.sort(p, axis=-1)[..., -2:-1]
    mask = np.arange(7) % 3 > 0 if masked else np.ones(7, bool)
    halves = slice(count), slice(count, 7)
    pieces = [tuple(tf.constant(x[rows]) for x in (p, chosen, mask)) for rows in halves]
    given = strategy.experimental_distribute_values_from_function(
        lambda c: (*pieces[c.replica_id_in_sync_group], tf.constant([1.0, 3.0][c.replica_id_in_sync_group]))
    )
    loss, gradient, share, value = (two(x) for x in of_pieces(given))
    return {
        "p": p.tolist(), "chosen": chosen.tolist(), "mask": mask.tolist(),
        "loss": [float(x) for x in loss], "gradient": np.concatenate(gradient).tolist(),
        "share": [float(x) for x in share], "value": [float(x) for x in value],
    }


print(json.dumps({
    "difference": max(float(np.abs(a - b).max()) for a, b in zip(one, spread)),
    "moved": max(float(np.abs(a - b).max()) for a, b in zip(one, weights)),
    "losses": [history_of_one.history["loss"], history.history["loss"]],
    "cuts": [cut(4, False, 0), cut(5, True, 1), cut(7, False, 2)],
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    process = Process(TWO_CPUS + SCRIPT, (), tmp_path_factory.mktemp("replicas") / "log")
    with killed_at_the_end({"process": process}):
        assert process.wait() == 0, process.output
    return json.loads(process.output.splitlines()[-1])


def test_fit_on_two_devices_balances_the_whole_batch(found):
    """The loss of all layers is that of the whole batch, in values and gradients."""
    assert found["moved"] > 0.1
    assert found["difference"] < 1e-5
    ours, theirs = found["losses"]
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("case", range(3))
def test_the_mean_over_replicas_is_the_loss_of_all(found, case):
    cut = found["cuts"][case]
    p, chosen, mask = (np.array(cut[name], "float64") for name in ("p", "chosen", "mask"))
    rows = mask.sum()
    f_e = (chosen * mask[:, None, None]).sum((0, 1)) / (2 * rows)
    p_e = (p * mask[:, None, None]).sum((0, 1)) / (2 * rows)
    assert cut["loss"] == pytest.approx([4 / f_e.sum() * (f_e * p_e).sum()] * 2, rel=1e-5)
    gradient = 4 / f_e.sum() * f_e[None, None] * mask[:, None, None] / (2 * rows)
    np.testing.assert_allclose(cut["gradient"], np.broadcast_to(gradient, p.shape), atol=1e-7)


def test_shares_and_values(found):
    cut = found["cuts"][0]
    assert cut["share"] == [0.5, 1.5]  # weights 1 and 3
    assert cut["value"] == [2.0, 2.0]
