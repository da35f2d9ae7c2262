"""Runs a ranker's core and its routers over rows in one graph."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_smes.backend.xla import as_graph
from keras_smes.diagnostics import RoutingProbe
from keras_smes.distribution import Engine
from keras_smes.training.input.packing import Arrays

BATCH = 8192


class Chunk(NamedTuple):
    """A chunk of rows.

    Attributes:
        which: Their row numbers.
        features: Inputs of the core, arrays of as many rows.
        counted_n: Which rows count in routing statistics, bool.
    """

    which: slice
    features: Arrays
    counted_n: np.ndarray


class Scorer:
    """Scores rows and measures their routing."""

    def __init__(self, core: keras.Model, probe: RoutingProbe | None = None) -> None:
        self._core, self._probe = core, probe
        self._step: Callable[..., Any] | None = None

    def _run(self, features: Mapping[str, Any], counted: Mapping[str, Any]) -> Any:
        self._look(features, counted)
        return self._core(features, training=False)

    def _look(self, features: Mapping[str, Any], counted: Mapping[str, Any]) -> None:
        if self._probe is not None:
            self._probe.update(features, counted["counted"] > 0)

    def score(self, pieces: Iterable[Chunk], num_rows: int, engine: Engine) -> dict[str, np.ndarray]:
        """Returns the logits of all rows by task, collected from all processes."""
        outputs: Mapping[str, Any] = self._core.output
        whole = {
            name: np.zeros((num_rows, *logits.shape[1:]), keras.backend.standardize_dtype(logits.dtype))
            for name, logits in outputs.items()
        }
        for piece in pieces:
            for name, logits in self._of(piece).items():
                whole[name][piece.which] = logits
        return engine.add_up(whole)

    def _of(self, piece: Chunk) -> dict[str, np.ndarray]:
        counted = {"counted": piece.counted_n.astype(np.float32)}
        parts = []
        for start in range(0, len(piece.counted_n), BATCH):
            own = slice(start, start + BATCH)
            batch = keras.tree.map_structure(lambda rows, own=own: rows[own], (dict(piece.features), counted))
            parts.append(keras.tree.map_structure(np.asarray, self._batch(*batch)))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _batch(self, features: dict[str, np.ndarray], counted: dict[str, np.ndarray]) -> Mapping[str, Any]:
        if keras.backend.backend() != "tensorflow":  # Keras compiles `predict` itself
            self._look(features, counted)
            logits: Mapping[str, Any] = self._core.predict_on_batch(features)
            return logits
        if self._step is None:  # one graph: common parts of the core and the routers run once
            self._step = as_graph(self._run, _signature((features, counted)))
        return self._step(features, counted)


def to_scores(ranker: keras.Model, logits: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the scores of a ranker's logits, `[N]` by task."""
    scores = ranker.get_layer("scores")(logits)
    return {name: keras.ops.convert_to_numpy(score_n) for name, score_n in scores.items()}


def score(ranker: keras.Model, pieces: Iterable[Chunk], num_rows: int) -> dict[str, np.ndarray]:
    """Returns the scores of rows by task."""
    return to_scores(ranker, Scorer(ranker.get_layer("core")).score(pieces, num_rows, Engine()))


def _signature(batch: Any) -> Any:
    """Returns the specs of arrays with any number of rows."""
    import tensorflow as tf

    return keras.tree.map_structure(lambda rows: tf.TensorSpec((None, *rows.shape[1:]), rows.dtype), batch)
