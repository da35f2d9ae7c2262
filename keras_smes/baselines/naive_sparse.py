"""Naive sparse mixture of experts: each task chooses its experts independently."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_smes.baselines.task_balance import TaskBalancedSMES
from keras_smes.validation import check_count, check_counts


@keras.saving.register_keras_serializable(package="keras_smes")
class NaiveSparse(TaskBalancedSMES):
    """One top-k router per task over one pool of experts, with one balance loss per router.

    ```
    K_t(b) = TopK_e(z[b,t,:], K)                 each task for itself
    g[b,t,:] = softmax of z[b,t,:] over K_t(b), zero elsewhere
    y[b,t,:] = sum over e in K_t(b) of g[b,t,e] * f_e(h[b])
    L_task = mean_t (E / K) * sum_e f[t,e] * p[t,e]
    ```

    This is SMES without shared experts. Execution is the same: an instance executes the union of its tasks'
    choices, each expert once. Tasks don't coordinate, so the union has up to `min(E, T * K)` experts.

    Args:
        num_tasks: Integer, tasks T.
        num_experts: Integer, experts E in the one pool.
        num_picks: Integer, or a list of one per task: experts K that a task chooses.
        expert_units: Integer, or list of them: widths of an expert's layers.
        expert_activation: Activation after every expert layer but the last. Defaults to `"relu"`.
        output_activation: Activation after an expert's last layer. Defaults to `None`, linear.
        normalize_experts: Boolean, whether expert outputs are scaled to a root mean square of 1.
            Defaults to `False`.
        balance_weight: Number of at least 0, the factor of the tasks' balance loss. Defaults to `0.1`.
        execution: `"auto"`, or `"dense"`, `"grouped"`, `"blocks"`, `"tiles"` or `"ragged"`; see
            `ExpertPool`. Defaults to `"auto"`.
        router_initializer: Initializer of each task's router. Defaults to `"glorot_uniform"`.
        kernel_initializer: Initializer of each expert's kernels. Defaults to `"glorot_uniform"`.
        bias_initializer: Initializer of the experts' biases. Defaults to `"zeros"`.

    Call arguments:
        inputs: `[B, D]` floats, the encoded instances h.
        mask: Optional bool `[B]`, false for padding rows, which don't enter the balance
            loss.
        training: Boolean; the balance loss is added in training.

    Returns:
        `[B, T, expert_units[-1]]` in the compute dtype.

    Example:

    >>> naive = NaiveSparse(num_tasks=3, num_experts=16, num_picks=3, expert_units=(32, 8))
    >>> naive(keras.random.normal((4, 20))).shape
    (4, 3, 8)

    References:
        - [Shazeer et al., ICLR 2017](https://arxiv.org/abs/1701.06538), top-k gating
        - [SMES](https://arxiv.org/abs/2602.09386), where it is the sparse baseline
    """

    def __init__(
        self,
        num_tasks: int,
        num_experts: int,
        num_picks: int | Sequence[int],
        expert_units: int | Sequence[int],
        expert_activation: Any = "relu",
        output_activation: Any = None,
        normalize_experts: bool = False,
        balance_weight: float = 0.1,
        execution: str = "auto",
        router_initializer: Any = "glorot_uniform",
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        # Validated here, where the arguments have the user's names.
        _check_num_picks(num_picks, num_tasks, num_experts)
        super().__init__(
            num_tasks,
            num_experts,
            num_shared=0,
            num_private=num_picks,
            expert_units=expert_units,
            expert_activation=expert_activation,
            output_activation=output_activation,
            normalize_experts=normalize_experts,
            balance_weight=balance_weight,
            execution=execution,
            router_initializer=router_initializer,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("num_shared", "num_private", "task_weights", "router_rank", "num_always"):
            del config[name]
        return {**config, "num_picks": self.gate.num_private}


def _check_num_picks(num_picks: Any, num_tasks: int, num_experts: int) -> None:
    if isinstance(num_picks, Sequence):
        counts = check_counts("num_picks", num_picks)
    else:
        counts = (check_count("num_picks", num_picks),) * check_count("num_tasks", num_tasks)
    if len(counts) != num_tasks:
        raise ValueError(
            f"`num_picks` must have one entry per task, {num_tasks} of them. "
            f"Received: num_picks={num_picks!r}"
        )
    if max(counts) > check_count("num_experts", num_experts):
        raise ValueError(
            "`num_picks` must be at most `num_experts`. "
            f"Received: num_picks={num_picks!r}, num_experts={num_experts}"
        )
