"""The balance loss over all tasks' routers."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_smes.backend.replicas import own_losses
from keras_smes.balance import global_balance_loss
from keras_smes.layers.masks import Mask, counted_rows, mask_all
from keras_smes.types import Routing, Shape, Tensor
from keras_smes.validation import check_weight


@keras.saving.register_keras_serializable(package="keras_smes")
class GlobalBalanceRegularizer(keras.layers.Layer):
    """Adds `weight * L_lb` to the model's losses in training, and passes the routing on unchanged.

    ```
    f[e] = mean over (b,t) of 1[e in K_t(b)]      (no gradient)
    p[e] = mean over (b,t) of p[b,t,e]            (gradient)
    L_lb = (E / mean_t K_t) * sum_e f[e] * p[e]
    ```

    One loss over the routers of all tasks: tasks may differ as long as the total load of the experts is even.
    It is 1 when loads and probabilities are uniform. p is the full softmax, not the gates. Under replicas of
    a `tf.distribute` strategy, f is over all of them, see `global_balance_loss`.

    Args:
        weight: Number of at least 0, the factor beta of the loss. Defaults to `0.1`.

    Call arguments:
        routing: From `PrivateExpertGate`.
        mask: Optional bool `[B]`, false for padding rows, which don't count.
        training: Boolean; the loss is only added in training.

    Returns:
        `routing`, unchanged.

    Example:

    >>> routing = SharedSubsetRouter(num_tasks=3, num_experts=8, num_shared=2)(keras.random.normal((4, 16)))
    >>> routing = PrivateExpertGate(num_private=1)(routing)
    >>> balance = GlobalBalanceRegularizer(weight=0.01)
    >>> routing = balance(routing, training=True)
    >>> len(balance.losses)
    1

    References:
        - [SMES: Towards Scalable Multi-Task Recommendation via Expert Sparsity](https://arxiv.org/abs/2602.09386)
    """

    def __init__(self, weight: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.weight = check_weight("weight", weight)
        self.supports_masking = True

    def call(self, routing: Routing, mask: Mask = None, training: bool | None = None) -> Routing:
        if training and self.weight > 0:
            with own_losses(self):
                loss = self.weight * self.imbalance(routing, counted_rows(mask))
            self.add_loss(ops.cast(loss, keras.config.floatx()))  # Keras sums losses of one dtype
        return {**routing}

    def imbalance(self, routing: Routing, mask_b: Tensor | None) -> Tensor:
        """Returns the unweighted loss `L_lb`, a float32 scalar."""
        return global_balance_loss(routing["probabilities"], routing["chosen"], mask_b)

    def compute_output_shape(self, routing_shape: Mapping[str, Shape]) -> dict[str, tuple[int | None, ...]]:
        return {name: tuple(shape) for name, shape in routing_shape.items()}

    def compute_mask(self, routing: Mapping[str, Tensor], mask: Mask = None) -> dict[str, Tensor | None]:
        return mask_all(self.compute_output_shape({name: t.shape for name, t in routing.items()}), mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}
