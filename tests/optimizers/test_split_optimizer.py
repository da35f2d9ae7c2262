"""SplitOptimizer: who gets which variable, and what it refuses."""

import json

import keras
import numpy as np
import pytest
from support.optimizers import models

from keras_smes.optimizers import LazyAdam, RowwiseAdagrad, SplitOptimizer


def halves():
    return {"embeddings": LazyAdam(0.1), "rest": keras.optimizers.SGD(0.01)}


def test_embeddings_and_the_rest_get_their_own():
    optimizer = SplitOptimizer(**halves())
    models_weights = models.trained(optimizer)
    assert [v.path for v in optimizer.embeddings._trainable_variables] == [
        "users/embeddings",
        "items/embeddings",
    ]
    assert len(optimizer.rest._trainable_variables) == len(models_weights) - 2


@pytest.mark.parametrize("frozen", ["embeddings", "rest"])
def test_each_half_follows_its_own_learning_rate(frozen):
    optimizer = SplitOptimizer(**halves())
    getattr(optimizer, frozen).learning_rate = 0.0
    before, after = models.build().get_weights(), models.trained(optimizer)
    moved = ["embeddings" if i < 2 else "rest" for i in range(len(before)) if np.any(before[i] != after[i])]
    assert set(moved) == {"embeddings", "rest"} - {frozen}


def test_equals_one_optimizer_where_both_are_the_same():
    """Keras' SGD takes a repeated id's parts as they come, rightly: it is linear."""
    split = SplitOptimizer(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    models.assert_weights(models.trained(split), models.trained(keras.optimizers.SGD(0.1)), tolerance=1e-6)


def test_a_pattern_of_ones_own():
    optimizer = SplitOptimizer(**halves(), pattern="items/.*")
    models.trained(optimizer, epochs=1)
    assert [v.path for v in optimizer.embeddings._trainable_variables] == ["items/embeddings"]


def test_a_model_of_embeddings_alone():
    ids = keras.Input((2,), dtype="int32")
    model = keras.Model(ids, keras.layers.Embedding(5, 1)(ids))
    model.compile(SplitOptimizer(**halves()), loss="mse")
    model.fit(np.array([[0, 1]]), np.ones((1, 2, 1)), verbose=0)


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match=r"`pattern` must match.*users/embeddings.*pattern='tables'"):
        SplitOptimizer(**halves(), pattern="tables").build(models.build().trainable_variables)


@pytest.mark.parametrize("pattern", ["(", 3])
def test_a_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(ValueError, match="`pattern` must be a regular expression"):
        SplitOptimizer(**halves(), pattern=pattern)


@pytest.mark.parametrize("half", ["embeddings", "rest"])
def test_what_is_no_optimizer_or_scales_the_loss_is_refused(half):
    scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    for wrong in ("adam", keras.optimizers.SGD(0.1, loss_scale_factor=2.0), scaling):
        with pytest.raises(ValueError, match=f"`{half}` must"):
            SplitOptimizer(**{**halves(), half: wrong})


def test_one_optimizer_for_both_is_refused():
    optimizer = LazyAdam()
    with pytest.raises(ValueError, match="must be two optimizers"):
        SplitOptimizer(optimizer, optimizer)


def test_the_learning_rate_is_that_of_the_rest_and_not_to_be_set():
    optimizer = SplitOptimizer(**halves())
    assert float(optimizer.learning_rate) == pytest.approx(0.01)
    with pytest.raises(ValueError, match=r"`learning_rate` of a SplitOptimizer.*Received: learning_rate=0.5"):
        optimizer.learning_rate = 0.5


def test_averages_of_the_rest_are_put_in_place_at_the_end():
    """`use_ema` of the dense half, with an average that never moves on from its first value, zero."""
    rest = keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=1.0)
    weights = models.trained(SplitOptimizer(LazyAdam(), rest))
    assert np.any(weights[0])
    reference = models.trained(keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=1.0))
    assert not np.array_equal(weights[0], reference[0])
    assert weights[2].shape == reference[2].shape


def test_the_configuration_survives_json():
    optimizer = SplitOptimizer(
        RowwiseAdagrad(0.5), keras.optimizers.Adam(0.25), pattern=".*table", name="mine"
    )
    stored = json.loads(json.dumps(keras.saving.serialize_keras_object(optimizer)))
    again = keras.saving.deserialize_keras_object(stored)
    assert again.get_config() == optimizer.get_config()


@pytest.mark.tensorflow
def test_variables_of_tensorflow_are_told_apart_by_their_names():
    import tensorflow as tf

    table, kernel = tf.Variable(tf.ones((3, 2)), name="ids/embeddings"), tf.Variable([1.0], name="kernel")
    optimizer = SplitOptimizer(keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.25))
    optimizer.apply_gradients([(tf.ones((3, 2)), table), (tf.ones(1), kernel)])
    np.testing.assert_array_equal(table, np.full((3, 2), 0.5))
    np.testing.assert_array_equal(kernel, [0.75])


@pytest.mark.parametrize("idle", ["embeddings", "rest"])
def test_a_half_without_gradients_stays_as_it_is(idle):
    table = keras.Variable(np.ones((3, 2)), name="embeddings")
    kernel = keras.Variable(np.ones((3, 2)), name="kernel")
    optimizer = SplitOptimizer(LazyAdam(0.1), keras.optimizers.Adam(0.1))
    optimizer.build([table, kernel])
    ones = keras.ops.ones((3, 2))
    gradients = [None, ones] if idle == "embeddings" else [ones, None]
    with pytest.warns(
        UserWarning, match=rf"Gradients do not exist.*\['{ {'rest': 'kernel'}.get(idle, idle) }'\]"
    ):
        optimizer.apply(gradients, [table, kernel])
    moved = {name for name, v in (("embeddings", table), ("rest", kernel)) if np.any(np.array(v) != 1)}
    assert moved == {"embeddings", "rest"} - {idle}
    assert int(optimizer.embeddings.iterations) == int(optimizer.rest.iterations) == 1
    with pytest.raises(ValueError, match=r"No gradients provided.* Received: .*\['embeddings', 'kernel'\]"):
        optimizer.apply([None, None], [table, kernel])
