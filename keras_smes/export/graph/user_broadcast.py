"""Runs a ranker for one user and many candidates: the user's side runs once and is broadcast."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_smes.backend.graph import call_graph, is_graph
from keras_smes.export.graph.inputs import spread
from keras_smes.types import Tensor

Columns = Mapping[str, Tensor]


def run_once_a_side(ranker: keras.Model, columns: Columns, user: Collection[str], rows: Tensor) -> Any:
    """Calls a functional model on user inputs `[1, ...]` and candidate inputs `[N, ...]`.

    Lookups, embeddings and pooling of the user's values run on one row, which is repeated only where it meets
    values of candidates.

    Returns:
        The model's outputs for N rows.
    """
    # The values keep the tensors alive, so that their ids stay unique.
    of_user = {id(columns[name]): columns[name] for name in user}

    def repeated(value: Any) -> Any:
        return spread(value, rows) if id(value) in of_user else value

    def watched(operation: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            sides = {
                id(tensor) in of_user for tensor in keras.tree.flatten((args, kwargs)) if tf.is_tensor(tensor)
            }
            if sides == {True, False}:
                if is_graph(operation):
                    return walk(operation, args[0])
                args, kwargs = keras.tree.map_structure(repeated, (args, kwargs))
            outputs = operation(*args, **kwargs)
            if sides == {True}:
                of_user.update((id(tensor), tensor) for tensor in keras.tree.flatten(outputs))
            return outputs

        return call

    def walk(model: keras.Model, inputs: Any) -> Any:
        return call_graph(model, inputs, watched)

    return keras.tree.map_structure(repeated, walk(ranker, dict(columns)))
