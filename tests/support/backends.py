"""The few things that tests must say to TensorFlow and to JAX in their own words."""

import os

import keras
import numpy as np

TENSORFLOW = keras.backend.backend() == "tensorflow"
# Whether `tf.keras` is Keras 2, as TFRS needs it. It is one or the other in a process.
LEGACY_KERAS = os.environ.get("TF_USE_LEGACY_KERAS") == "1"


def to_numpy(structure):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, structure)


def to_tensors(structure):
    return keras.tree.map_structure(keras.ops.convert_to_tensor, structure)


def compiled(function):
    """`function` under XLA."""
    if TENSORFLOW:
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    import jax

    return jax.jit(function)


def evaluator(function):
    """`function` from arrays to arrays: eager TensorFlow, or JAX under jit.

    Eager JAX compiles every op once a shape, a second for a layer: too slow for drawn sizes.
    """
    called = function if TENSORFLOW else compiled(function)
    return lambda *arrays: to_numpy(called(*to_tensors(arrays)))


def evaluate(function, *arrays):
    return evaluator(function)(*arrays)


def gradients(function, arrays):
    """Gradients of a scalar `function(list of tensors)`, as arrays."""
    tensors = to_tensors(list(arrays))
    if not TENSORFLOW:
        import jax

        return to_numpy(jax.jit(jax.grad(function))(tensors))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(tensors)
    return to_numpy(tape.gradient(value, tensors, unconnected_gradients="zero"))


def graph_of_unknown_batch(function, *arrays, jit_compile=False):
    """`function` as a `tf.function` traced once, for any number of rows of `arrays`."""
    import tensorflow as tf

    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype), arrays
    )
    return tf.function(function, input_signature=signature, jit_compile=jit_compile)


def assert_close(actual, expected, tolerance=1e-5, message=""):
    """Errors are relative to the largest of the expected numbers: what float32 sums can promise."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, f"{message} {actual.shape} != {expected.shape}"
    scale = np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale, err_msg=message)
