"""PLE: task-specific and shared experts, extracted level by level."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.baselines.task_mixture import TaskMixture, apart
from keras_smes.layers.expert_pool import every_expert
from keras_smes.layers.initializers import reseeded, stacked
from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_count, check_rank


@keras.saving.register_keras_serializable(package="keras_smes")
class PLE(TaskMixture):
    """Progressive layered extraction: levels of customized gate control (CGC).

    At each level j, `x[k,j-1]` is the state of task k, `x[s,j-1]` the shared state; both start as h.

    ```
    S[k,j] = the m_k experts of task k on x[k,j-1], and the m_s shared experts on x[s,j-1]
    x[k,j] = softmax(x[k,j-1] @ kernel[k,j]) . S[k,j]
    S[s,j] = the experts of all tasks, and the shared ones        (not at the last level)
    x[s,j] = softmax(x[s,j-1] @ kernel[s,j]) . S[s,j]             (not at the last level)
    y[b,t,:] = x[t, last level]
    ```

    A task never reads another task's experts of the same level, only the shared state of the level before.
    With one level it is CGC. Every instance executes all `num_levels * (T * m_k + m_s)` experts.

    Args:
        num_tasks: Integer, tasks T.
        num_task_experts: Integer, task-specific experts m_k, at each level.
        num_shared_experts: Integer, experts m_s that all tasks share, at each level.
        expert_units: Integer, or list of them: widths of an expert's layers.
        num_levels: Integer, levels of extraction. Defaults to `2`.
        expert_activation: Activation after every expert layer but the last. Defaults to `"relu"`.
        output_activation: Activation after an expert's last layer. Defaults to `None`, linear.
        kernel_initializer: Initializer of gates and experts. Defaults to `"glorot_uniform"`.

    Call arguments:
        inputs: `[B, D]` floats, the encoded instances h.

    Returns:
        `[B, T, expert_units[-1]]` in the compute dtype. Gates are computed in float32.

    Example:

    >>> ple = PLE(num_tasks=3, num_task_experts=2, num_shared_experts=1, expert_units=(32, 8))
    >>> ple(keras.random.normal((4, 20))).shape
    (4, 3, 8)

    References:
        - [Tang et al., RecSys 2020](https://doi.org/10.1145/3383313.3412236)
    """

    def __init__(
        self,
        num_tasks: int,
        num_task_experts: int,
        num_shared_experts: int,
        expert_units: int | Sequence[int],
        num_levels: int = 2,
        expert_activation: Any = "relu",
        output_activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_tasks, expert_units, expert_activation, output_activation, kernel_initializer, **kwargs
        )
        self.num_task_experts = check_count("num_task_experts", num_task_experts)
        self.num_shared_experts = check_count("num_shared_experts", num_shared_experts)
        self.num_levels = check_count("num_levels", num_levels)
        initializers = apart(self.kernel_initializer)
        self.levels = [self._level(level, initializers) for level in range(self.num_levels)]

    def _level(self, level: int, initializers: Iterator[Any]) -> "ExtractionLevel":
        tasks = [
            self._pool(self.num_task_experts, f"task_{t}", next(initializers)) for t in range(self.num_tasks)
        ]
        shared = self._pool(self.num_shared_experts, "shared", next(initializers))
        last = level == self.num_levels - 1
        return ExtractionLevel(
            tasks, shared, last, next(initializers), name=f"level_{level}", dtype=self.dtype_policy
        )

    def build(self, input_shape: Shape) -> None:
        check_rank("inputs", input_shape, "[batch, width]")
        shape = tuple(input_shape)
        for level in self.levels:
            level.build(shape)
            shape = (shape[0], self.expert_units[-1])

    def call(self, inputs: Tensor) -> Tensor:
        tasks, shared = [inputs] * self.num_tasks, inputs
        for level in self.levels:
            tasks, shared = level(tasks, shared)
        return ops.stack(tasks, axis=1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_task_experts": self.num_task_experts,
            "num_shared_experts": self.num_shared_experts,
            "num_levels": self.num_levels,
        }


class ExtractionLevel(keras.layers.Layer):
    """One level of PLE: `(x of each task, x shared) -> the same, one level further`.

    A mixture over two pools is the sum of two mixtures, each with its part of one gate.
    """

    def __init__(
        self, tasks: list[Any], shared: Any, last: bool, kernel_initializer: Any, **kwargs: Any
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        self.tasks, self.shared, self.last = tasks, shared, last
        self.kernel_initializer = kernel_initializer

    def build(self, tasks_shape: Shape, shared_shape: Any = None) -> None:
        own, common = self.tasks[0].num_experts, self.shared.num_experts
        shape = (len(self.tasks), tasks_shape[-1], own + common)
        self.kernel = self._gate("kernel", shape, 0)
        if not self.last:
            shape = (1, tasks_shape[-1], len(self.tasks) * own + common)
            self.shared_kernel = self._gate("shared_kernel", shape, len(self.tasks))
        for pool in [*self.tasks, self.shared]:
            pool.build(tasks_shape)

    def _gate(self, name: str, shape: tuple[Any, ...], seeds: int) -> Any:
        initializer = stacked(reseeded(self.kernel_initializer, seeds))
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, dtype="float32", autocast=False
        )

    def call(self, tasks: list[Tensor], shared: Tensor) -> tuple[list[Tensor], Tensor]:
        own = self.tasks[0].num_experts
        gates_bte = _gates(ops.stack(tasks, axis=1), self.kernel)
        weights_of_tasks = [gates_bte[:, t : t + 1, :own] for t in range(len(tasks))]
        weights_of_shared = gates_bte[:, :, own:]
        if not self.last:
            gate_b1e = _gates(shared[:, None], self.shared_kernel)
            parts = ops.split(gate_b1e, [own * (t + 1) for t in range(len(tasks))], axis=2)
            joined = zip(weights_of_tasks, parts[:-1], strict=True)
            weights_of_tasks = [ops.concatenate(pair, axis=1) for pair in joined]
            weights_of_shared = ops.concatenate([weights_of_shared, parts[-1]], axis=1)
        outputs = [
            pool(x, every_expert(weights))
            for pool, x, weights in zip(self.tasks, tasks, weights_of_tasks, strict=True)
        ]
        common = self.shared(shared, every_expert(weights_of_shared))
        mixed = [output[:, 0] + common[:, t] for t, output in enumerate(outputs)]
        # The last level has no shared mixture and returns its shared input.
        return mixed, shared if self.last else sum(o[:, 1] for o in outputs) + common[:, -1]


def _gates(rows_btd: Tensor, kernel_tde: Tensor) -> Tensor:
    logits_bte = ops.einsum("btd,tde->bte", ops.cast(rows_btd, "float32"), kernel_tde)
    return ops.softmax(logits_bte, axis=-1)
