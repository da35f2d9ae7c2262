"""SMES: routers, private choice, balance loss and experts."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.layers.expert_pool import ExpertPool, every_expert
from keras_smes.layers.global_balance_regularizer import GlobalBalanceRegularizer
from keras_smes.layers.initializers import clone, reseeded
from keras_smes.layers.private_expert_gate import PrivateExpertGate
from keras_smes.layers.shared_subset_router import SharedSubsetRouter
from keras_smes.types import Routing, Shape, Tensor
from keras_smes.validation import check_count, check_counts, check_picks, check_weight


@keras.saving.register_keras_serializable(package="keras_smes")
class SMES(keras.layers.Layer):
    """Sparse mixture of experts for several tasks: each chosen expert runs once per instance.

    ```
    S(b) = TopK_e(sum_t w[t] * p[b,t,e], K_s)                  shared by all tasks
    A_t(b) = TopK_e(z[b,t,:] over e not in S(b), K_a[t])       private to task t
    y[b,t,:] = sum over e in S(b) + A_t(b) of g[b,t,e] * f_e(h[b])
    ```

    An instance executes at most `min(E, K_s + sum_t K_a[t])` experts: capacity grows with E, cost doesn't. No
    pair is dropped, and no instance depends on the others in its batch.

    With `num_always=N`, every instance also executes N experts outside the pool, whose outputs are added for
    all tasks without a gate:

    ```
    y[b,t,:] = sum over n of f'_n(h[b]) + sum over e in S(b) + A_t(b) of g[b,t,e] * f_e(h[b])
    ```

    Args:
        num_tasks: Integer, tasks T.
        num_experts: Integer, experts E in the pool.
        num_shared: Integer, experts K_s chosen jointly for all tasks of an instance.
        num_private: Integer, or a list with one per task: experts K_a that each task chooses.
        expert_units: Integer, or list of them: widths of an expert's layers.
        expert_activation: Activation after every expert layer but the last. Defaults to `"relu"`.
        output_activation: Activation after an expert's last layer. Defaults to `None`, linear.
        normalize_experts: Boolean, whether expert outputs are scaled to a root mean square of 1.
            Defaults to `False`.
        balance_weight: Number of at least 0, the factor of the balance loss. Defaults to `0.1`.
        task_weights: List of T numbers of at least 0, the tasks' weights in the joint choice. Defaults
            to `None`, equal.
        execution: `"auto"`, or `"dense"`, `"grouped"`, `"blocks"`, `"tiles"` or `"ragged"`; see
            `ExpertPool`. Defaults to `"auto"`.
        router_initializer: Initializer of each task's router. Defaults to `"glorot_uniform"`.
        kernel_initializer: Initializer of each expert's kernels. Defaults to `"glorot_uniform"`.
        bias_initializer: Initializer of the experts' biases. Defaults to `"zeros"`.
        router_rank: Integer, width of a projection of h that all routers share, which reduces their cost; see
            `SharedSubsetRouter`. Defaults to `None`, no projection.
        num_always: Integer, experts N that every instance executes, from DeepSeekMoE. Defaults to `0`.

    Call arguments:
        inputs: `[B, D]` floats, the encoded instances h.
        mask: Optional bool `[B]`, false for padding rows, which don't enter the balance loss.
        training: Boolean; the balance loss is added in training.

    Returns:
        `[B, T, expert_units[-1]]` in the compute dtype: one vector per task, for its tower.

    Attributes:
        router: The `SharedSubsetRouter`; `router.kernel` is `[D, T, E]`, or `[router_rank, T, E]`.
        gate: The `PrivateExpertGate`.
        balance: The `GlobalBalanceRegularizer`.
        experts: The `ExpertPool`; `experts.kernels[i]` is `[E, in, out]`.
        always: The `ExpertPool` of the experts that every instance executes, or `None`.

    Example:

    >>> smes = SMES(num_tasks=3, num_experts=16, num_shared=2, num_private=1, expert_units=(32, 8))
    >>> smes(keras.random.normal((4, 20))).shape
    (4, 3, 8)

    In a functional model:

    >>> h = keras.Input((20,))
    >>> y = SMES(num_tasks=3, num_experts=16, num_shared=2, num_private=1, expert_units=(32, 8))(h)
    >>> click = keras.layers.Dense(1, activation="sigmoid", name="click")(y[:, 0])
    >>> model = keras.Model(h, click)

    References:
        - [SMES: Towards Scalable Multi-Task Recommendation via Expert Sparsity](https://arxiv.org/abs/2602.09386)
        - [DeepSeekMoE](https://arxiv.org/abs/2401.06066), experts that are always on
    """

    # Baselines override the class: another balance loss is another layer, not an option.
    balance_layer: type[GlobalBalanceRegularizer] = GlobalBalanceRegularizer

    def __init__(
        self,
        num_tasks: int,
        num_experts: int,
        num_shared: int,
        num_private: int | Sequence[int],
        expert_units: int | Sequence[int],
        expert_activation: Any = "relu",
        output_activation: Any = None,
        normalize_experts: bool = False,
        balance_weight: float = 0.1,
        task_weights: Sequence[float] | None = None,
        execution: str = "auto",
        router_initializer: Any = "glorot_uniform",
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        router_rank: int | None = None,
        num_always: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        # Validated here, where the arguments have the user's names.
        check = check_counts if isinstance(expert_units, Sequence) else check_count
        check("expert_units", expert_units)
        check_weight("balance_weight", balance_weight)
        dtype = self.dtype_policy
        choice = (num_tasks, num_experts, num_shared, task_weights, router_initializer)
        self.router = SharedSubsetRouter(*choice, rank=router_rank, name="router", dtype=dtype)
        self.gate = PrivateExpertGate(num_private, name="gate", dtype=dtype)
        self.balance = self.balance_layer(balance_weight, name="balance", dtype=dtype)
        pool = functools.partial(ExpertPool, bias_initializer=bias_initializer, dtype=dtype)
        expert = (expert_units, expert_activation, output_activation, normalize_experts)
        self.experts = pool(num_experts, *expert, execution, kernel_initializer, name="experts")
        self.always = None
        if check_count("num_always", num_always, minimum=0):
            # Seeds after those of the pool: no two experts get the same values.
            apart = reseeded(clone(kernel_initializer), num_experts * len(self.experts.units))
            self.always = pool(num_always, *expert, "dense", apart, name="always")
        logits_shape = {"logits": (None, self.router.num_tasks, self.router.num_experts)}
        check_picks(num_experts, num_shared, self.gate.private_of_tasks(logits_shape))

    def build(self, input_shape: Shape) -> None:
        self.router.build(input_shape)
        routing_shape = self.router.compute_output_shape(input_shape)
        self.gate.build(routing_shape)
        self.balance.build(routing_shape)
        self.experts.build(input_shape)
        if self.always is not None:
            self.always.build(input_shape)

    def call(self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None) -> Tensor:
        routing = self.balance(self.route(inputs), mask=mask, training=training)
        mixed_bto = self.experts(inputs, routing, training=training)
        if self.always is None:
            return mixed_bto
        ones_b1n = ops.ones((ops.shape(inputs)[0], 1, self.always.num_experts), dtype="float32")
        return mixed_bto + self.always(inputs, every_expert(ones_b1n), training=training)

    def route(self, inputs: Tensor) -> Routing:
        """Returns the routing of instances `[B, D]` without running an expert.

        Returns:
            A dict of `probabilities`, `weights` and `logits`, float32 `[B, T, E]`; `chosen`, bool
            `[B, T, E]`; `shared` and `union`, bool `[B, E]`; and as lists `shared_experts`, int32 `[B, K_s]`,
            and `executed`, int32 `[B, M]`.
        """
        return self.gate(self.router(inputs))

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        return (input_shape[0], self.router.num_tasks, self.experts.units[-1])

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None  # losses would apply a mask of rows to another axis of the outputs

    def get_config(self) -> dict[str, Any]:
        experts = self.experts.get_config()
        return {
            **super().get_config(),
            "num_tasks": self.router.num_tasks,
            "num_experts": self.router.num_experts,
            "num_shared": self.router.num_shared,
            "num_private": self.gate.num_private,
            "expert_units": self.experts.units,
            "expert_activation": experts["activation"],
            "output_activation": experts["output_activation"],
            "normalize_experts": self.experts.normalize,
            "balance_weight": self.balance.weight,
            "task_weights": self.router.task_weights,
            "execution": self.experts.execution,
            "router_initializer": self.router.get_config()["kernel_initializer"],
            "kernel_initializer": experts["kernel_initializer"],
            "bias_initializer": experts["bias_initializer"],
            "router_rank": self.router.rank,
            "num_always": 0 if self.always is None else self.always.num_experts,
        }
