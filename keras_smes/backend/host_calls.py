"""Calls from a compiled step to Python on the host, for each backend."""

from collections.abc import Callable, Sequence

import keras

from keras_smes.backend.xla import compiles_with_xla
from keras_smes.types import Tensor


def is_traced() -> bool:
    """Returns whether a graph is being traced, so that tensors have no values yet."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly()
    if keras.backend.backend() == "jax":
        import jax

        return isinstance(keras.ops.zeros(()), jax.core.Tracer)
    return False


def call_on_host(function: Callable[..., None], tensors: Sequence[Tensor]) -> None:
    """Adds a call of `function` with the tensors' values, as arrays, to the traced graph."""
    if keras.backend.backend() == "jax":
        from jax.experimental import io_callback

        io_callback(function, None, *tensors)
        return
    if compiles_with_xla():
        raise NotImplementedError(
            "TensorFlow can't call Python from XLA, which this metric needs. Compile the model with "
            "`jit_compile=False`, or use the callback `RankingEvaluation`."
        )
    import tensorflow as tf

    tf.numpy_function(function, tensors, [])


def wait_for_host_calls() -> None:
    """Waits for the calls of all steps that were started."""
    if keras.backend.backend() == "jax":
        import jax

        jax.effects_barrier()  # type: ignore[no-untyped-call]
