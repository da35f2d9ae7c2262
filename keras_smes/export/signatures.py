"""Signatures of an exported ranker: named, typed inputs `[B]`, one float32 score `[B]` a task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

Tensor = Any


def write_saved_model(ranker: keras.Model, folder: str | Path) -> None:
    """Writes a SavedModel with the signature `serving_default`.

    Inputs keep their names and types (an id stays an integer), outputs are named after the tasks.
    The graph is plain: no XLA, no Python, nothing of this package.

    Args:
        ranker: A functional model from a dict of raw columns to a dict of scores, as `build_ranker`
            makes it.
        folder: Where to; must not exist.

    Raises:
        ValueError: `ranker` is no such model, or Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Export needs the TensorFlow backend. Received: backend={keras.backend.backend()!r}"
        )
    if not isinstance(getattr(ranker, "input", None), dict):
        raise ValueError(f"`ranker` must take a dict of named features. Received: ranker={ranker!r}")
    archive = keras.export.ExportArchive()
    archive.track(ranker)  # lookup tables too
    archive.add_endpoint("serving_default", _scores_of(ranker), input_signature=[_input_specs(ranker)])
    # Gradients are no part of serving; without this, functions for them are written too.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    archive.write_out(str(folder), options=options, verbose=False)


def _input_specs(ranker: keras.Model) -> dict[str, tf.TensorSpec]:
    return {
        name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name) for name, tensor in ranker.input.items()
    }


def _scores_of(ranker: keras.Model) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    def scores(columns: dict[str, Tensor]) -> dict[str, Tensor]:
        outputs = ranker(columns, training=False)
        return {task: tf.cast(score, tf.float32) for task, score in outputs.items()}

    return scores
