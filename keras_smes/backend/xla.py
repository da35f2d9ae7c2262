"""Whether XLA compiles what is being built."""

from collections.abc import Callable
from typing import Any

import keras


def is_compiled() -> bool:
    """Whether XLA compiles what is being built: always with JAX."""
    return keras.backend.backend() != "tensorflow" or compiles_with_xla()


def as_graph(function: Callable[..., Any], signature: Any = None) -> Callable[..., Any]:
    """Returns a function of tensors as one graph of TensorFlow's; with JAX, as it is.

    Args:
        function: The function.
        signature: The `tf.TensorSpec`s of its arguments, for one graph of all shapes. Defaults to `None`: a
            graph is made of what comes.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    graph: Callable[..., Any] = tf.function(function, signature, reduce_retracing=True)
    return graph


def compiles_with_xla() -> bool:
    """Whether the surrounding `tf.function` is traced with `jit_compile=True`."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    from tensorflow.python.ops import control_flow_util  # TF has no public way to ask

    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))
