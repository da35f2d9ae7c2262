"""One balance loss per router: the ablation of the global balance of SMES."""

import keras

from keras_smes.balance import task_balance_loss
from keras_smes.layers.global_balance_regularizer import GlobalBalanceRegularizer
from keras_smes.layers.smes import SMES
from keras_smes.types import Routing, Tensor


@keras.saving.register_keras_serializable(package="keras_smes")
class TaskBalanceRegularizer(GlobalBalanceRegularizer):
    """Adds `weight * L_task` to the model's losses in training, and passes the routing on unchanged.

    ```
    f[t,e] = mean over b of 1[e in K_t(b)]        (no gradient)
    p[t,e] = mean over b of p[b,t,e]              (gradient)
    L_task = mean_t (E / K_t) * sum_e f[t,e] * p[t,e]
    ```

    This is the load-balancing loss of Switch Transformers per router. Arguments and behaviour are otherwise
    those of `GlobalBalanceRegularizer`.

    Args:
        weight: Number of at least 0, the factor of the loss. Defaults to `0.1`.

    Example:

    >>> routing = SharedSubsetRouter(num_tasks=3, num_experts=8, num_shared=2)(keras.random.normal((4, 16)))
    >>> routing = PrivateExpertGate(num_private=1)(routing)
    >>> balance = TaskBalanceRegularizer(weight=0.01)
    >>> routing = balance(routing, training=True)
    >>> len(balance.losses)
    1

    References:
        - [Switch Transformers](https://arxiv.org/abs/2101.03961), the loss of one router
        - [SMES](https://arxiv.org/abs/2602.09386), which argues for one loss over all of them
    """

    def imbalance(self, routing: Routing, mask_b: Tensor | None) -> Tensor:
        """Returns the unweighted loss `L_task`, a float32 scalar."""
        return task_balance_loss(routing["probabilities"], routing["chosen"], mask_b)


@keras.saving.register_keras_serializable(package="keras_smes")
class TaskBalancedSMES(SMES):
    """SMES with one balance loss per router: an ablation of the global balance.

    Arguments, outputs and attributes are those of `SMES`; `balance` is a `TaskBalanceRegularizer`.

    Example:

    >>> smes = TaskBalancedSMES(num_tasks=3, num_experts=16, num_shared=2, num_private=1, expert_units=8)
    >>> smes(keras.random.normal((4, 20))).shape
    (4, 3, 8)

    References:
        - [SMES: Towards Scalable Multi-Task Recommendation via Expert Sparsity](https://arxiv.org/abs/2602.09386)
    """

    balance_layer = TaskBalanceRegularizer
