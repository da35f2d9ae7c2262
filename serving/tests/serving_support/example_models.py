"""A SavedModel that takes tf.Examples, and others that only look as if they did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

EXAMPLES = tf.TensorSpec([None], tf.string, name="inputs")


class Scored(tf.Module):
    """Scores from two features; `weights` are in plain sight of the tests."""

    weights = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]], np.float32)

    def _features(self, examples):
        features = {"a": tf.io.FixedLenFeature([], tf.float32), "b": tf.io.FixedLenFeature([], tf.int64, 0)}
        parsed = tf.io.parse_example(examples, features)
        return tf.stack([parsed["a"], tf.cast(parsed["b"], tf.float32)], axis=1)

    @tf.function(autograph=False, input_signature=[EXAMPLES])
    def classify(self, inputs):
        scores = tf.matmul(self._features(inputs), self.weights)
        labels = tf.tile(tf.constant([["low", "mid", "high"]]), [tf.shape(scores)[0], 1])
        return {"classes": labels, "scores": scores}

    @tf.function(autograph=False, input_signature=[EXAMPLES])
    def regress(self, inputs):
        return {"outputs": tf.matmul(self._features(inputs), self.weights)[:, 2:]}

    @tf.function(autograph=False, input_signature=[EXAMPLES])
    def integers(self, inputs):
        return {"outputs": tf.cast(self._features(inputs)[:, 1], tf.int64)}

    @tf.function(autograph=False, input_signature=[EXAMPLES])
    def flat_scores(self, inputs):
        return {"scores": self._features(inputs)[:, 0]}

    @tf.function(autograph=False, input_signature=[EXAMPLES, tf.TensorSpec([None], tf.float32, name="x")])
    def two(self, inputs, x):
        return {"outputs": x + self._features(inputs)[:, 0]}

    @tf.function(autograph=False, input_signature=[EXAMPLES])
    def three_out(self, inputs):
        x = self._features(inputs)[:, 0]
        return {"p": x, "q": x, "r": x}


def save_scored(directory: Path) -> None:
    """Writes the model; `renamed` has an input of another name than the API asks for."""
    module = Scored()

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def renamed(examples):
        return {"outputs": tf.strings.length(examples)}

    module.renamed = renamed
    names = ("classify", "regress", "integers", "flat_scores", "two", "three_out", "renamed")
    signatures = {name: getattr(module, name) for name in names}
    tf.saved_model.save(module, str(directory), signatures=signatures)
