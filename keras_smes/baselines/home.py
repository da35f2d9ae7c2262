"""HoME: experts of all tasks, of task groups and of single tasks, on two levels."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.backend.quantization import Composite
from keras_smes.baselines.task_mixture import apart, check_units
from keras_smes.layers.batch_normalization import GlobalBatchNormalization
from keras_smes.layers.initializers import clone, stacked
from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_count, check_counts, check_rank

SEEDS_OF_KERNEL = 2**8  # a stack of experts may use one seed per expert


@keras.saving.register_keras_serializable(package="keras_smes")
class HoME(Composite):
    """Hierarchy of multi-gate experts: tasks share experts with all tasks, and more within their group.

    With a group `c` of tasks, `s` for all tasks, and a task `t` of group `c(t)`:

    ```
    f(x) = swish(batch_norm(mlp(x * G(x))))                            an expert; mlp ends linear
    G(x) = sum_l softmax(x @ mix)[l] * 2 sigmoid(x @ down[l] @ up[l])   feature gate, of low rank
    gate(x) . E = sum over experts e in E of softmax(x @ kernel)[e] * f_e
    self(x) . E = the same; a sigmoid instead of the softmax where E is one expert

    level 1, on h:
      z[c] = gate(h) . (E_c, E_s) + self(h) . E_c
      z[s] = gate(h) . (E_s, all E_c) + self(h) . E_s
    level 2, with E_s on z[s], and E_c and E_t on z[c]:
      y[b,t,:] = gate(z[c(t)], z[s]) . (E_t, E_c(t), E_s) + self(z[c(t)]) . E_t
    ```

    Normalised experts have outputs of one scale, so that gates don't collapse onto one of them; the hierarchy
    prevents a task from occupying the shared experts; feature gates separate the gradients of the experts'
    inputs, and self gates bypass the mixture.

    † This is an interpretation, not verified against the paper's equations: our sources are its abstract,
    public summaries, and two open reimplementations that differ from each other. Normalised swish experts,
    feature gates, task groups and two levels are common to all of them; a self gate that adds a second
    mixture of the experts' own kind is in one of the two only.
    Our choices: gates are linear without bias; hidden layers of an expert are `swish(x @ kernel + bias)`;
    experts of one kind (E_s, an E_c, an E_t) share one feature gate, a mixture of `num_feature_gates` of rank
    `feature_gate_rank`; both levels have experts of the same size.

    Batch normalisation uses the statistics of the global batch of all replicas in training, and moving
    averages otherwise.

    Args:
        num_tasks: Integer, tasks T.
        task_groups: List of lists of task indices: each task in exactly one group.
        expert_units: Integer, or list of them: widths of an expert's layers.
        num_shared_experts: Integer, experts in E_s, at each level. Defaults to `1`.
        num_group_experts: Integer, experts in each E_c, at each level. Defaults to `1`.
        num_task_experts: Integer, experts in each E_t. Defaults to `1`.
        num_feature_gates: Integer, number of gates l in a feature gate. Defaults to `2`.
        feature_gate_rank: Integer, rank of each of them. Defaults to `16`.
        kernel_initializer: Initializer of gates and experts. Defaults to `"glorot_uniform"`.

    Call arguments:
        inputs: `[B, D]` floats, the encoded instances h.
        mask: Optional bool `[B]`, false for padding rows, which don't enter the statistics.
        training: Boolean; whether to normalise by the batch and update the moving averages.

    Returns:
        `[B, T, expert_units[-1]]` in the compute dtype. Gates are computed in float32.

    Example:

    >>> home = HoME(num_tasks=3, task_groups=[[0, 1], [2]], expert_units=(32, 8))
    >>> home(keras.random.normal((4, 20))).shape
    (4, 3, 8)

    References:
        - [HoME: Hierarchy of Multi-Gate Experts for Multi-Task Learning at Kuaishou](https://arxiv.org/abs/2408.05430)
    """

    def __init__(
        self,
        num_tasks: int,
        task_groups: Sequence[Sequence[int]],
        expert_units: int | Sequence[int],
        num_shared_experts: int = 1,
        num_group_experts: int = 1,
        num_task_experts: int = 1,
        num_feature_gates: int = 2,
        feature_gate_rank: int = 16,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        self.num_tasks = check_count("num_tasks", num_tasks)
        self.task_groups = _check_groups(task_groups, self.num_tasks)
        self.expert_units = check_units(expert_units)
        self.num_shared_experts = check_count("num_shared_experts", num_shared_experts)
        self.num_group_experts = check_count("num_group_experts", num_group_experts)
        self.num_task_experts = check_count("num_task_experts", num_task_experts)
        self.num_feature_gates = check_count("num_feature_gates", num_feature_gates)
        self.feature_gate_rank = check_count("feature_gate_rank", feature_gate_rank)
        self.kernel_initializer = clone(kernel_initializer)
        self._make_experts(apart(self.kernel_initializer))

    def _make_experts(self, initializers: Iterator[Any]) -> None:
        def make(num_experts: int, gated: int, name: str) -> ExpertGroup:
            feature_gate = FeatureGate(self.num_feature_gates, self.feature_gate_rank, next(initializers))
            sizes = (num_experts, self.expert_units, gated)
            return ExpertGroup(*sizes, feature_gate, next(initializers), name=name, dtype=self.dtype_policy)

        shared, group, task = self.num_shared_experts, self.num_group_experts, self.num_task_experts
        groups = range(len(self.task_groups))
        self.meta_shared = make(shared, shared + len(groups) * group, "meta_shared")
        self.meta_groups = [make(group, group + shared, f"meta_group_{c}") for c in groups]
        self.shared = make(shared, 0, "shared")
        self.groups = [make(group, 0, f"group_{c}") for c in groups]
        gated = task + group + shared
        self.tasks = [make(task, gated, f"task_{t}") for t in range(self.num_tasks)]

    def build(self, input_shape: Shape) -> None:
        check_rank("inputs", input_shape, "[batch, width]")
        for experts in [self.meta_shared, *self.meta_groups]:
            experts.build(input_shape, input_shape)
        mixed = (input_shape[0], self.expert_units[-1])
        for experts in [self.shared, *self.groups, *self.tasks]:
            experts.build(mixed, (mixed[0], 2 * self.expert_units[-1]))
        self.quantize_parts()

    def call(self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None) -> Tensor:
        how = {"mask": mask, "training": training}
        h_bd = ops.cast(inputs, self.compute_dtype)
        common, *groups = (experts(h_bd, **how) for experts in [self.meta_shared, *self.meta_groups])
        z_shared = self.meta_shared.mix(h_bd, h_bd, [common, *groups])
        z_groups = [
            experts.mix(h_bd, h_bd, [outputs, common])
            for experts, outputs in zip(self.meta_groups, groups, strict=True)
        ]
        common = self.shared(z_shared, **how)
        groups = [experts(z, **how) for experts, z in zip(self.groups, z_groups, strict=True)]
        mixtures = []
        for t, experts in enumerate(self.tasks):
            c = next(c for c, tasks in enumerate(self.task_groups) if t in tasks)
            both = ops.concatenate([z_groups[c], z_shared], axis=1)
            outputs = [experts(z_groups[c], **how), groups[c], common]
            mixtures.append(experts.mix(both, z_groups[c], outputs))
        return ops.stack(mixtures, axis=1)

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        return (input_shape[0], self.num_tasks, self.expert_units[-1])

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None  # losses would apply a mask of rows to another axis of the outputs

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "task_groups": self.task_groups,
            "expert_units": self.expert_units,
            "num_shared_experts": self.num_shared_experts,
            "num_group_experts": self.num_group_experts,
            "num_task_experts": self.num_task_experts,
            "num_feature_gates": self.num_feature_gates,
            "feature_gate_rank": self.feature_gate_rank,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


class ExpertGroup(keras.layers.Layer):
    """Experts of one kind, `[B, D] -> [B, experts, out]`, and the gates of their mixture.

    It is not an `ExpertPool`, since outputs are normalised over the batch before they are mixed.
    """

    def __init__(
        self,
        num_experts: int,
        units: Sequence[int],
        gated: int,
        feature_gate: "FeatureGate",
        kernel_initializer: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        self.num_experts, self.feature_gate = num_experts, feature_gate
        initializers = apart(kernel_initializer, SEEDS_OF_KERNEL)
        self.layers = [
            self._dense(layer, width, last=layer == len(units) - 1, initializer=next(initializers))
            for layer, width in enumerate(units)
        ]
        self.norm = GlobalBatchNormalization(name="norm", dtype=self.dtype_policy)
        self.gates: list[Any] = []
        if gated:
            alone = "sigmoid" if num_experts == 1 else "softmax"
            self.gates = [
                _gate(gated, "softmax", next(initializers)),
                _gate(num_experts, alone, next(initializers)),
            ]

    def _dense(self, layer: int, width: int, last: bool, initializer: Any) -> keras.layers.Layer:
        return keras.layers.EinsumDense(
            "bi,eio->beo" if layer == 0 else "bei,eio->beo",
            output_shape=(self.num_experts, width),
            activation=None if last else "swish",
            bias_axes=None if last else "eo",  # the normalisation has its own bias
            kernel_initializer=stacked(initializer),
            name=f"dense_{layer}",
            dtype=self.dtype_policy,
        )

    def build(self, inputs_shape: Shape, gate_shape: Any = None) -> None:
        self.feature_gate.build(inputs_shape)
        shape: Any = tuple(inputs_shape)
        for dense in self.layers:
            dense.build(shape)
            shape = dense.compute_output_shape(shape)
        self.norm.build((shape[0], shape[1] * shape[2]))
        for gate, width in zip(self.gates, (gate_shape, inputs_shape), strict=False):
            gate.build(width)

    def call(self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None) -> Tensor:
        rows = self.feature_gate(inputs)
        for dense in self.layers:
            rows = dense(rows)
        features = rows.shape[1] * rows.shape[2]
        flat = self.norm(ops.reshape(rows, (-1, features)), training=training, mask=mask)
        return ops.silu(ops.reshape(flat, (-1, *rows.shape[1:])))

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None

    def mix(self, gate_inputs: Tensor, inputs: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        """Mixes experts' outputs by the gate, this kind's first, and adds the self gate's mixture."""
        gate, alone = self.gates
        mixed = _mixture(gate(gate_inputs), ops.concatenate(outputs, axis=1))
        return ops.cast(mixed + _mixture(alone(inputs), outputs[0]), self.compute_dtype)


class FeatureGate(keras.layers.Layer):
    """`x * sum_l softmax(x @ mix)[l] * 2 sigmoid(x @ down[l] @ up[l])`, float32 inside."""

    def __init__(self, num_gates: int, rank: int, kernel_initializer: Any, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        self.num_gates, self.rank = num_gates, rank
        self.down_initializer, self.up_initializer, mix = itertools.islice(
            apart(kernel_initializer, SEEDS_OF_KERNEL), 3
        )
        self.mix = _gate(num_gates, "softmax", mix)

    def build(self, input_shape: Shape) -> None:
        width = input_shape[-1]
        self.mix.build(input_shape)
        self.down = self._kernel("down_kernel", (self.num_gates, width, self.rank), self.down_initializer)
        self.up = self._kernel("up_kernel", (self.num_gates, self.rank, width), self.up_initializer)

    def _kernel(self, name: str, shape: tuple[Any, ...], initializer: Any) -> Any:
        return self.add_weight(
            name=name, shape=shape, initializer=stacked(initializer), dtype="float32", autocast=False
        )

    def call(self, inputs: Tensor) -> Tensor:
        x_bd = ops.cast(inputs, "float32")
        low_blr = ops.einsum("bd,ldr->blr", x_bd, self.down)
        gates_bld = 2 * ops.sigmoid(ops.einsum("blr,lrd->bld", low_blr, self.up))
        return ops.cast(x_bd * _mixture(self.mix(x_bd), gates_bld), inputs.dtype)

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None


def _gate(num_experts: int, activation: str, kernel_initializer: Any) -> keras.layers.Layer:
    return keras.layers.Dense(
        num_experts,
        activation=activation,
        use_bias=False,
        kernel_initializer=kernel_initializer,
        dtype="float32",
    )


def _mixture(weights_be: Tensor, outputs_beo: Tensor) -> Tensor:
    return ops.einsum("be,beo->bo", weights_be, ops.cast(outputs_beo, "float32"))


def _check_groups(task_groups: Any, num_tasks: int) -> list[list[int]]:
    """Returns the groups as lists if each task is in exactly one."""
    message = (
        f"`task_groups` must be lists of task indices, each of 0 to {num_tasks - 1} in exactly one. "
        f"Received: task_groups={task_groups!r}"
    )
    if isinstance(task_groups, str) or not isinstance(task_groups, Sequence):
        raise ValueError(message)
    try:
        groups = [list(check_counts("task_groups", group, minimum=0)) for group in task_groups]
    except ValueError as error:
        raise ValueError(message) from error
    if sorted(task for group in groups for task in group) != list(range(num_tasks)):
        raise ValueError(message)
    return groups
