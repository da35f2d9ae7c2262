"""Feature crosses in several layers, by keras-rs."""

from typing import Any

import keras

from keras_smes.backend.quantization import Composite
from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_count


@keras.saving.register_keras_serializable(package="keras_smes")
class CrossNetwork(Composite):
    """A stack of `keras_rs.layers.FeatureCross`, the cross network of DCN-v2: `x[0]` is the input,

    ```
    x[i+1] = x[0] * (W[i] x[i] + b[i]) + x[i]
    ```

    Needs the extra `ranking`. It is a separate layer so that loading a saved model imports keras-rs.

    Args:
        depth: Number of crosses; the output is a polynomial of the input of degree `depth + 1`.
        projection_dim: Rank of W, as the product of two narrow matrices. Defaults to `None`, full.

    Call arguments:
        inputs: `[B, D]` floats.

    Returns:
        `[B, D]` floats.

    Raises:
        ImportError: keras-rs is not installed.

    Example:

    >>> CrossNetwork(depth=2)(keras.random.normal((4, 16))).shape
    (4, 16)

    References:
        - [DCN V2: Improved Deep & Cross Network](https://arxiv.org/abs/2008.13535)
    """

    def __init__(self, depth: int, projection_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.depth = check_count("depth", depth)
        self.projection_dim = projection_dim and check_count("projection_dim", projection_dim)
        cross = _feature_cross()
        self.crosses = [
            cross(self.projection_dim, dtype=self.dtype_policy, name=f"cross_{i}") for i in range(self.depth)
        ]

    def build(self, inputs_shape: Shape) -> None:
        # FeatureCross creates the weights of its inner layers in its first call, not in `build`.
        symbol = keras.KerasTensor(tuple(inputs_shape), dtype=self.compute_dtype)
        for cross in self.crosses:
            cross(symbol, symbol)
        self.quantize_parts()

    def call(self, inputs: Tensor) -> Tensor:
        crossed_bd = inputs
        for cross in self.crosses:
            crossed_bd = cross(inputs, crossed_bd)
        return crossed_bd

    def compute_output_shape(self, inputs_shape: Shape) -> tuple[int | None, ...]:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "depth": self.depth, "projection_dim": self.projection_dim}


def _feature_cross() -> Any:
    try:
        from keras_rs.layers import FeatureCross
    except ImportError as error:
        raise ImportError('Crosses need keras-rs: pip install "keras_smes[ranking]"') from error
    return FeatureCross
