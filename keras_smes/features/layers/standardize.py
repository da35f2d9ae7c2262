"""Standardised numbers, the same in training and in the served graph."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.moments import nonzero_std
from keras_smes.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_smes")
class Standardize(keras.layers.Layer):
    """Standardises N numbers: `(x - mean) / std`, optionally after `log1p(max(x, 0))`.

    A missing number (NaN, or an infinity) becomes 0, the mean.

    Args:
        log: List of N booleans: whether to apply the logarithm.
        mean: List of N means, after the logarithm.
        std: List of N standard deviations, after the logarithm. One that is within the float32 rounding of
            its mean counts as 1.

    Call arguments:
        inputs: `[B, N]` floats.

    Returns:
        `[B, N]` floats.

    Example:

    >>> Standardize(log=[False], mean=[10.0], std=[2.0])(np.array([[14.0], [np.nan]])).numpy()
    array([[2.],
           [0.]], dtype=float32)
    """

    def __init__(
        self, log: Sequence[bool], mean: Sequence[float], std: Sequence[float], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.log, self.mean, self.std = list(log), list(mean), list(std)

    def call(self, inputs: Tensor) -> Tensor:
        known = ops.isfinite(inputs)
        # Missing numbers are replaced before the arithmetic, so that no NaN enters a gradient.
        values = ops.where(known, inputs, 0.0)
        values = ops.where(ops.convert_to_tensor(self.log), ops.log1p(ops.maximum(values, 0.0)), values)
        scale = [nonzero_std(mean, std) for mean, std in zip(self.mean, self.std, strict=True)]
        mean, std = (ops.convert_to_tensor(moment, dtype=values.dtype) for moment in (self.mean, scale))
        return ops.where(known, (values - mean) / std, 0.0)

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "log": self.log, "mean": self.mean, "std": self.std}
