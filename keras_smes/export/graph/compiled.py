"""A ranker whose core is compiled by XLA, for servers that are started with XLA enabled."""

from typing import Any

import keras
import tensorflow as tf

from keras_smes.export.graph.inputs import is_built_ranker, rewired
from keras_smes.types import Tensor


class CompiledCore(keras.layers.Layer):
    """Runs the core as one XLA program. Used in exports only, and never saved by Keras."""

    def __init__(self, core: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.core = core
        self._compiled = tf.function(
            lambda inputs: core(inputs, training=False), jit_compile=True, autograph=False
        )

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        del mask  # from the node of a functional model; features carry lengths instead
        return self._compiled(inputs)

    def compute_output_spec(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        del mask
        return keras.tree.map_structure(
            lambda output: keras.KerasTensor(output.shape, output.dtype),
            self.core.compute_output_spec(inputs),
        )


def with_compiled_core(ranker: keras.Model) -> keras.Model:
    """Returns the ranker with a compiled `core`. Lookups of strings stay outside, as XLA has none.

    Raises:
        ValueError: The ranker has no `preprocessor` and `core`, as models of `build_ranker` have.
    """
    if not is_built_ranker(ranker):
        names = sorted(layer.name for layer in ranker.layers)
        raise ValueError(f"`ranker` must be a model of `build_ranker`. Received: layers={names}")
    compiled = CompiledCore(ranker.get_layer("core"), name="compiled_core")
    replaced = {ranker.get_layer("core"): compiled}
    return rewired(ranker, lambda layer: replaced.get(layer, layer))
