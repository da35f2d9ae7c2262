"""Target attention: a behaviour sequence weighted by the candidate."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.backend.quantization import Composite
from keras_smes.features.layers.pooling import valid_positions
from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_counts


@keras.saving.register_keras_serializable(package="keras_smes")
class TargetAttention(Composite):
    """Pools a behaviour sequence by the activation unit of the Deep Interest Network.

    With the candidate's embedding q and the sequence's embeddings e, of equal width,

    ```
    a[l] = MLP([q, e[l], q - e[l], q * e[l]])     one number, linear at the end
    y    = sum_{l < n} a[l] * e[l]
    ```

    The weights a are not a softmax: their sum measures the interest in the candidate. The hidden activation
    is our choice; the paper has PReLU and Dice. A row without items gets zeros, and positions beyond the
    length are ignored, even NaN.

    Args:
        units: Integer list, widths of the MLP's hidden layers. Defaults to `(36,)`.
        activation: Activation of the hidden layers. Defaults to `"relu"`.

    Call arguments:
        query: `[B, D]` floats.
        items: `[B, L, D]` floats.
        lengths: `[B]` integers; a negative one counts as 0, one above L as L.

    Returns:
        `[B, D]` floats.

    Example:

    >>> query, items = keras.random.normal((4, 8)), keras.random.normal((4, 10, 8))
    >>> TargetAttention()(query, items, np.array([10, 3, 0, 1])).shape
    (4, 8)

    References:
        - [Deep Interest Network for Click-Through Rate Prediction](https://arxiv.org/abs/1706.06978)
    """

    def __init__(self, units: Sequence[int] = (36,), activation: Any = "relu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = list(check_counts("units", units))
        self.activation = keras.activations.get(activation)
        self.hidden = [
            keras.layers.Dense(width, activation=self.activation, dtype=self.dtype_policy)
            for width in self.units
        ]
        self.weigh = keras.layers.Dense(1, dtype=self.dtype_policy)

    def build(self, query_shape: Shape, items_shape: Shape, lengths_shape: Shape) -> None:
        if len(items_shape) != 3 or query_shape[-1] != items_shape[-1]:
            raise ValueError(
                "`query` [batch, width] and `items` [batch, length, width] must have equal width. "
                f"Received: query of shape {tuple(query_shape)}, items of shape {tuple(items_shape)}"
            )
        shape: tuple[int | None, ...] = (*items_shape[:2], 4 * items_shape[2])  # type: ignore[operator]
        for dense in [*self.hidden, self.weigh]:
            dense.build(shape)
            shape = dense.compute_output_shape(shape)
        self.quantize_parts()

    def call(self, query: Tensor, items: Tensor, lengths: Tensor) -> Tensor:
        valid_bl = valid_positions(lengths, ops.shape(items)[1])
        items_bld = ops.where(valid_bl[..., None], items, 0.0)
        query_bld = ops.broadcast_to(query[:, None, :], ops.shape(items_bld))
        joined = [query_bld, items_bld, query_bld - items_bld, query_bld * items_bld]
        weights_bl1 = ops.concatenate(joined, axis=-1)
        for dense in [*self.hidden, self.weigh]:
            weights_bl1 = dense(weights_bl1)
        return ops.sum(weights_bl1 * items_bld, axis=1)  # items beyond the length are zero here

    def compute_output_shape(
        self, query_shape: Shape, items_shape: Shape, lengths_shape: Shape
    ) -> tuple[int | None, ...]:
        return tuple(query_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
        }
