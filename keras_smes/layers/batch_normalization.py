"""Batch normalisation over the global batch of replicas."""

import keras
from keras import ops

from keras_smes.backend.replicas import own_losses, sum_over_replicas
from keras_smes.layers.masks import counted_rows
from keras_smes.types import Tensor


@keras.saving.register_keras_serializable(package="keras_smes")
class GlobalBatchNormalization(keras.layers.BatchNormalization):
    """Keras' `BatchNormalization` of `[B, D]` with the statistics of all replicas' rows that count.

    ```
    in training:  y[b,d] = gamma[d] * (x[b,d] - mean_b(x[b,d])) / sqrt(var_b(x[b,d]) + epsilon) + beta[d]
                  moving = momentum * moving + (1 - momentum) * statistic
    otherwise:    the same by the moving mean and variance
    ```

    Keras' `synchronized=True` takes no mask, and without it each replica normalises its own rows only. A
    batch without rows that count does not change the moving averages.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        return super().call(inputs, training=training, mask=counted_rows(mask))

    def _moments(self, inputs: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        counts_b1 = (
            ops.ones_like(inputs[:, :1], dtype="bool") if mask is None else ops.cast(mask, "bool")[:, None]
        )

        def mean(values_bd: Tensor) -> Tensor:
            return _sum(counts_b1, values_bd) / ops.maximum(rows, 1.0)

        with own_losses(self):
            rows = _sum(counts_b1, ops.ones_like(inputs[:, :1]))
            mean_d = mean(inputs)
            variance_d = mean(ops.square(inputs - mean_d))
        moving = (ops.cast(values_d, inputs.dtype) for values_d in (self.moving_mean, self.moving_variance))
        kept = zip((mean_d, variance_d), moving, strict=True)
        mean_d, variance_d = (ops.where(rows > 0, new_d, old_d) for new_d, old_d in kept)
        return mean_d, variance_d


def _sum(counts_b1: Tensor, values_bd: Tensor) -> Tensor:
    return sum_over_replicas(ops.sum(ops.where(counts_b1, values_bd, 0.0), axis=0))
