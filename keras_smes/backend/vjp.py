"""Vector-Jacobian products, which `keras.ops` lacks, for use in hand-written gradients."""

from collections.abc import Callable, Sequence

import keras

from keras_smes.types import Tensor


def pull_back(
    function: Callable[..., Tensor], arguments: Sequence[Tensor], cotangent: Tensor
) -> Sequence[Tensor]:
    """Returns the product of `cotangent` and the Jacobian of `function`, one tensor per argument."""
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
