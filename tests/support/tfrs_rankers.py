"""One ranker, twice: in TFRS with our layer in it, and in Keras 3 throughout."""

import keras
import keras_rs
import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from keras_smes import SMES
from keras_smes.tfrs import Keras3Layer

WIDTH, TASKS = 12, 2


def smes(**options):
    return SMES(TASKS, 16, num_shared=2, num_private=1, expert_units=(16, 8), **options)


class Ranker(tfrs.Model):
    """Cross, SMES, one tower for all tasks, the ranking task."""

    def __init__(self, layer=None, loss=None, metrics=()):
        super().__init__()
        self.cross = tfrs.layers.dcn.Cross()
        self.smes = Keras3Layer(layer or smes())
        self.tower = tf.keras.layers.Dense(1, activation="sigmoid")
        self.task = tfrs.tasks.Ranking(loss=loss, metrics=list(metrics))

    def call(self, inputs, training=None):
        return self.tower(self.smes(self.cross(inputs), training=training))[:, :, 0]

    def compute_loss(self, inputs, training=False):
        features, labels = inputs
        return self.task(labels, self(features, training=training))


def native(layer=None):
    """The same in Keras 3, compiled."""
    inputs = keras.Input((WIDTH,))
    mixed = (layer or smes())(keras_rs.layers.FeatureCross()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(mixed)[:, :, 0])
    model.compile(keras.optimizers.Adam(0.01), loss="binary_crossentropy")
    return model


def rows(count=256):
    generator = np.random.default_rng(7)
    features = generator.normal(size=(count, WIDTH)).astype("float32")
    return features, (features[:, :TASKS] + generator.normal(size=(count, TASKS)) > 0).astype("float32")


def batches(size=64):
    return tf.data.Dataset.from_tensor_slices(rows()).batch(size)


def built(**arguments):
    """A compiled TFRS ranker with its weights made."""
    ranker = Ranker(**arguments)
    ranker.compile(tf.keras.optimizers.Adam(0.01))
    ranker(rows(4)[0])
    return ranker
