"""Whether XLA compiles the traced graph."""

from collections.abc import Callable
from typing import Any

import keras


def is_compiled() -> bool:
    """Returns whether XLA compiles the traced graph; always true with JAX."""
    return keras.backend.backend() != "tensorflow" or compiles_with_xla()


def as_graph(function: Callable[..., Any], signature: Any = None) -> Callable[..., Any]:
    """Returns a function of tensors as a TensorFlow graph for the shapes of `signature`; same with JAX."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    # Branches and loops are operations already: nothing is there for AutoGraph to convert.
    graph: Callable[..., Any] = tf.function(function, signature, autograph=False, reduce_retracing=True)
    return graph


def compiles_with_xla() -> bool:
    """Returns whether the surrounding `tf.function` is traced with `jit_compile=True`."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    from tensorflow.python.ops import control_flow_util  # TF has no public API for this

    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))
