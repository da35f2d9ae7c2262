"""The one thing that `keras.ops` lacks: the gradient of a function, inside a hand-written gradient."""

from collections.abc import Callable, Sequence

import keras

from keras_smes.types import Tensor


def pull_back(
    function: Callable[..., Tensor], arguments: Sequence[Tensor], cotangent: Tensor
) -> Sequence[Tensor]:
    """Returns the product of `cotangent` and the Jacobian of `function` at `arguments`, one tensor each."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.vjp(function, *arguments)[1](cotangent)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(arguments)
            output = function(*arguments)
        zero = tf.UnconnectedGradients.ZERO
        return tape.gradient(output, arguments, output_gradients=cotangent, unconnected_gradients=zero)
    raise NotImplementedError(
        f"`execution='blocks'` needs TensorFlow or JAX. Received: {keras.backend.backend()}"
    )
