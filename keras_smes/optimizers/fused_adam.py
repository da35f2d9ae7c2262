"""Keras' Adam in one pass over the weights."""

from typing import Any

import keras
from keras import ops

from keras_smes.backend.optimizer import moments_of
from keras_smes.optimizers.sparse_gradients import is_sparse


@keras.saving.register_keras_serializable(package="keras_smes")
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam, with one pass per step over a dense weight and its moments on TensorFlow.

    Keras implements the rule as a dozen operations, each of which reads and writes tensors of the weight's
    size; TensorFlow has one multi-threaded kernel for it. Keras' operations are used with `amsgrad`, for
    16-bit weights, for the sparse gradients of lookups, and on other backends. Both agree to five digits in
    float32; they round 1 - beta_2 differently.

    Arguments, state and saved values are those of `keras.optimizers.Adam`: either resumes from the other's
    checkpoint. With `weight_decay` it is `keras.optimizers.AdamW`. Use it for the dense weights of a model;
    for embeddings see `LazyAdam`.

    Example:

    >>> model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(1)])
    >>> model.compile(FusedAdam(0.001), loss="mse")

    References:
        - [Adam: A Method for Stochastic Optimization](https://arxiv.org/abs/1412.6980)
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if self.amsgrad or is_sparse(gradient) or not _has_kernel(variable):
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        first, second = moments_of(self, variable)
        step = ops.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.value.handle,
            v=second.value.handle,
            beta1_power=ops.power(ops.cast(self.beta_1, variable.dtype), step),
            beta2_power=ops.power(ops.cast(self.beta_2, variable.dtype), step),
            lr=ops.cast(learning_rate, variable.dtype),
            beta1=tf.constant(self.beta_1, variable.dtype),
            beta2=tf.constant(self.beta_2, variable.dtype),
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=ops.cast(gradient, variable.dtype),
        )


def _has_kernel(variable: Any) -> bool:
    # Excludes 16 bits: the kernel computes 1 - beta_2 in the type of the weights, where 0.999 may be 1.
    return keras.backend.backend() == "tensorflow" and variable.dtype in ("float32", "float64")
