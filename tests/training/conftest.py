"""Small simulated interactions, and a ranker with dropout that is small enough to be trained many times."""

import pytest

pytest.importorskip("polars", reason='needs the extra "data"')

import keras
import numpy as np

from keras_smes.data import simulate, split_with_statistics
from keras_smes.features.schema import FeatureSchema, IntegerCategory, Number
from keras_smes.ranker import build_ranker
from keras_smes.tasks import BinaryTask
from keras_smes.training import OptimizerConfig, TrainingConfig
from keras_smes.training.batches import PackedRows, preprocess
from keras_smes.training.model import MultiTaskModel
from keras_smes.training.optimizer import build_optimizer
from keras_smes.training.task_losses import TaskLosses, joint_loss
from keras_smes.training.trainer import StepPlan, Trainer
from keras_smes.training.validation import labelled

ROWS = 100


@pytest.fixture(scope="session")
def parts():
    return split_with_statistics(simulate(rows=4000, users=100, videos=150, days=6, seed=3))


@keras.saving.register_keras_serializable(package="tests")
class NoisyExperts(keras.layers.Layer):
    """Two tasks' vectors through dropout, and a loss of its own: `[B, D] -> [B, 2, 4]`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout = keras.layers.Dropout(0.3, seed=11)
        self.dense = keras.layers.Dense(8, activation="relu")

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs, training=None):
        outputs = self.dense(self.dropout(inputs, training=training))
        self.add_loss(0.1 * keras.ops.mean(keras.ops.square(outputs)))
        return keras.ops.reshape(outputs, (-1, 2, 4))


def _columns():
    generator = np.random.default_rng(5)
    columns = {
        "user_id": generator.integers(0, 20, ROWS),
        "video_id": generator.integers(0, 30, ROWS),
        "age": generator.normal(size=ROWS).astype("float32"),
    }
    labels = {
        "click": (columns["user_id"] % 3 == 0).astype("float32"),
        "like": (columns["video_id"] % 4 == 0).astype("float32"),
    }
    return columns, labels


@pytest.fixture
def make_trainer():
    """Makes a `Trainer` of 100 rows, 13 batches an epoch; every one made alike trains alike."""

    def make(training=None, optimizer=None, tasks=None, session=None, **kwargs):
        training = training or TrainingConfig(epochs=3, batch_size=8, steps_per_execution=2)
        columns, labels = _columns()
        tasks = tasks or [BinaryTask("click"), BinaryTask("like", condition="click", weight=2.0)]
        keras.utils.set_random_seed(7)
        schema = FeatureSchema((IntegerCategory("user_id", 4), IntegerCategory("video_id", 4), Number("age")))
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(training.dtype_policy)
        ranker = build_ranker(schema.fit(columns), tasks, NoisyExperts(name="experts"), (8,), (4,))
        keras.config.set_dtype_policy(policy)
        core = ranker.get_layer("core")
        joint = joint_loss(training.loss_balance, tasks, core, 3, training.loss_balance_options)
        model = MultiTaskModel(core, TaskLosses(tasks), joint)
        rows = PackedRows((preprocess(ranker, columns), *labelled(tasks, labels)))
        plan = StepPlan(rows, training.batch_size, seed=5)
        model.compile(
            build_optimizer(
                optimizer or OptimizerConfig(learning_rate=0.02, warmup_steps=3),
                training.epochs * plan.steps,
                model.trainable_variables,
                training.dtype_policy == "mixed_float16",
            ),
            steps_per_execution=training.steps_per_execution,
            jit_compile=training.jit_compile,
            auto_scale_loss=False,
        )
        return Trainer(model, plan, training, session=session, **kwargs)

    return make
