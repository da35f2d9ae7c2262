import keras
import numpy as np
import pytest

from keras_smes.optimizers import FusedAdam, LazyAdam, RowwiseAdagrad, SplitOptimizer
from keras_smes.training import OptimizerConfig
from keras_smes.training.model.optimizer import all_finite, build_optimizer, learning_rate

pytestmark = pytest.mark.tensorflow


def rates(steps, **config):
    rate = learning_rate(2.0, OptimizerConfig(**config), steps)
    return [float(rate(step)) if callable(rate) else rate for step in range(steps)]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"schedule": "constant"}, [2, 2, 2, 2]),
        ({"schedule": "constant", "warmup_steps": 2}, [0, 1, 2, 2]),
        # cos(0, pi/4, pi/2, 3pi/4)
        ({"schedule": "cosine"}, [2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5]),
        ({"schedule": "cosine", "warmup_steps": 2}, [0, 1, 2, 1]),
    ],
)
def test_learning_rates_by_hand(config, expected):
    assert rates(4, **config) == pytest.approx(expected, abs=1e-6)


def test_a_warm_up_must_end():
    with pytest.raises(ValueError, match="warmup_steps=4"):
        learning_rate(1.0, OptimizerConfig(warmup_steps=4), 4)


def model(with_table=True):
    ids = keras.Input((3,), dtype="int32")
    x = keras.layers.Embedding(10, 2)(ids) if with_table else keras.layers.Rescaling(1.0)(ids)
    return keras.Model(ids, keras.layers.Dense(1)(keras.layers.Flatten()(x)))


def test_tables_have_their_own_optimizer_and_rate():
    config = OptimizerConfig(
        name="adamw", learning_rate=0.1, embeddings="rowwise_adagrad", embedding_learning_rate=0.3
    )
    optimizer = build_optimizer(config, 8, model().trainable_variables)
    assert isinstance(optimizer, SplitOptimizer)
    assert isinstance(optimizer.embeddings, RowwiseAdagrad)
    assert isinstance(optimizer.rest, FusedAdam)
    assert optimizer.rest.weight_decay == keras.optimizers.AdamW().weight_decay
    assert float(optimizer.embeddings.learning_rate) == pytest.approx(0.3)
    assert float(optimizer.rest.learning_rate) == pytest.approx(0.1)


def test_usual_optimizers():
    optimizer = build_optimizer(OptimizerConfig(), 8, model().trainable_variables)
    assert isinstance(optimizer.embeddings, LazyAdam)
    assert isinstance(optimizer.rest, FusedAdam)
    assert optimizer.rest.weight_decay is None
    assert float(optimizer.embeddings.learning_rate) == pytest.approx(0.002)


def test_a_model_without_tables_has_one_optimizer():
    optimizer = build_optimizer(OptimizerConfig(name="sgd"), 8, model(False).trainable_variables)
    assert isinstance(optimizer, keras.optimizers.SGD)


def test_scaled_losses_for_float16():
    optimizer = build_optimizer(OptimizerConfig(), 8, model().trainable_variables, scale_loss=True)
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(optimizer.inner_optimizer, SplitOptimizer)


def test_state_is_there_before_the_first_step():
    ranker = model()
    optimizer = build_optimizer(OptimizerConfig(), 8, ranker.trainable_variables)
    numbers = sum(np.prod(variable.shape) for variable in optimizer.variables)
    assert numbers > 2 * ranker.count_params()  # two moments a weight, and counters


@pytest.mark.parametrize(("spoiled", "finite"), [(None, True), (float("inf"), False), (float("nan"), False)])
def test_gradients_are_looked_at_by_their_numbers(spoiled, finite):
    import tensorflow as tf

    values = np.ones((2, 3), "float32")
    if spoiled is not None:
        values[1, 2] = spoiled
    # A table of 10^12 rows: whoever makes it dense runs out of memory.
    rows = tf.IndexedSlices(tf.constant(values), tf.constant([5, 7], tf.int64), tf.constant([10**12, 3]))
    assert bool(all_finite([tf.ones((4,)), None, rows])) is finite
    assert bool(all_finite([tf.constant(values)])) is finite
