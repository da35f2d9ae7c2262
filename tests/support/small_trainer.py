"""A ranker of two tasks that is small enough to be trained many times."""

import keras
import numpy as np

from keras_smes.features.schema import FeatureSchema, IntegerCategory, Number
from keras_smes.ranker import build_ranker
from keras_smes.tasks import BinaryTask
from keras_smes.training import OptimizerConfig, TrainingConfig
from keras_smes.training.input.packed_rows import RowsInMemory
from keras_smes.training.input.plan import StepPlan
from keras_smes.training.input.preprocessing import preprocess
from keras_smes.training.loop.trainer import Trainer
from keras_smes.training.model.jax import JaxMultiTaskModel
from keras_smes.training.model.multi_task import MultiTaskModel
from keras_smes.training.model.optimizer import build_optimizer
from keras_smes.training.task_losses import TaskLosses, joint_loss

ROWS = 100


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


def make_small_trainer(training=None, optimizer=None, tasks=None, session=None, experts=None, **kwargs):
    """Makes a `Trainer` of 100 rows, 13 batches an epoch; every one made alike trains alike.

    `experts` makes the layer of experts; all weights are then the same on every backend.
    """
    training = training or TrainingConfig(epochs=3, batch_size=8, steps_per_execution=2)
    columns, labels = _columns()
    tasks = tasks or [BinaryTask("click"), BinaryTask("like", condition="click", weight=2.0)]
    keras.utils.set_random_seed(7)
    schema = FeatureSchema((IntegerCategory("user_id", 4), IntegerCategory("video_id", 4), Number("age")))
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(training.dtype_policy)
    layer = NoisyExperts(name="experts") if experts is None else experts()
    ranker = build_ranker(schema.fit(columns), tasks, layer, (8,), (4,))
    keras.config.set_dtype_policy(policy)
    core = ranker.get_layer("core")
    if experts is not None:
        generator = np.random.default_rng(1)
        core.set_weights([generator.normal(scale=0.4, size=w.shape) for w in core.get_weights()])
    joint = joint_loss(training.loss_balance, tasks, core, 3, training.loss_balance_options)
    on_jax = keras.backend.backend() == "jax"
    model = (JaxMultiTaskModel if on_jax else MultiTaskModel)(core, TaskLosses(tasks), joint)
    targets = {task.name: task.targets(labels) for task in tasks}
    counted = {task.name: task.counted(labels) for task in tasks}
    rows = RowsInMemory((preprocess(ranker, columns), targets, counted))
    plan = StepPlan(rows, training.batch_size, seed=5)
    model.compile(
        build_optimizer(
            optimizer or OptimizerConfig(learning_rate=0.02, warmup_steps=3),
            training.epochs * plan.steps,
            model.trainable_variables,
            training.dtype_policy == "mixed_float16",
        ),
        steps_per_execution=training.steps_per_execution,
        jit_compile=training.jit_compile or on_jax,
        auto_scale_loss=False,
    )
    return Trainer(model, plan, training, session=session, **kwargs)
