import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_smes.export.graph.user_broadcast import run_once_a_side

pytestmark = pytest.mark.tensorflow


class Witness(keras.layers.Layer):
    """Lets rows through and notes how many there were."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.rows = []

    def call(self, inputs):
        if tf.is_tensor(inputs):
            self.rows.append(inputs.shape[0])
        return inputs


def test_the_users_part_runs_on_one_row_until_it_meets_the_candidates():
    user, item = keras.Input((3,), name="user"), keras.Input((2,), name="item")
    witnesses = [Witness() for _ in range(3)]
    inner_user, inner_item = keras.Input((4,)), keras.Input((4,))
    met = keras.layers.Concatenate()([witnesses[1](inner_user), inner_item])
    inner = keras.Model({"u": inner_user, "i": inner_item}, keras.layers.Dense(1)(witnesses[2](met)))
    towers = {"u": witnesses[0](keras.layers.Dense(4)(user)), "i": keras.layers.Dense(4)(item)}
    model = keras.Model({"user": user, "item": item}, {"score": inner(towers), "of_user": user})
    rng = np.random.default_rng(0)
    one, five = (rng.normal(size=shape).astype(np.float32) for shape in ((1, 3), (5, 2)))
    for witness in witnesses:
        witness.rows.clear()
    answer = run_once_a_side(
        model, {"user": tf.constant(one), "item": tf.constant(five)}, ["user"], tf.constant(5)
    )
    assert [witness.rows for witness in witnesses] == [[1], [1], [5]]
    tiled = np.repeat(one, 5, axis=0)
    np.testing.assert_array_equal(answer["of_user"], tiled)
    np.testing.assert_allclose(
        answer["score"], model({"user": tiled, "item": five})["score"], rtol=1e-6, atol=1e-6
    )
