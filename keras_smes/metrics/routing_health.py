"""Routing health over a whole data set: expert load, sparsity, overlap and entropy."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_smes.backend.host_calls import is_traced
from keras_smes.metrics.fixed_point import (
    DIGITS,
    LOW_BITS,
    MOST_ROWS,
    SCALE,
    join_digits,
    join_words,
    split_digits,
    split_words,
    sum_digits,
)
from keras_smes.metrics.rows import ratio
from keras_smes.types import Routing, Tensor

State = dict[str, NDArray[np.int64]]

DEAD_SHARE_OF_MEAN = 0.1
SUMS = ("jaccard", "entropy")  # in fixed point; the others are counts


@keras.saving.register_keras_serializable(package="keras_smes")
class RoutingHealth(keras.metrics.Metric):
    """Routing health of one layer of experts, accumulated over batches.

    With `U(b)` the experts executed for instance b and `K_t(b)` those that task t chose:

    - `load[e] = sum_b 1[e in U(b)] / sum_b |U(b)|`, the share of executed (instance, expert) pairs;
    - `load_max_over_mean = max_e load[e] * E`, `load_cv = std_e(load) / mean_e(load)`, and
      `load_gini = sum_e (2 rank[e] - E - 1) * load[e] / E` with ranks 1 to E by load;
    - `dead_experts = |{e: load[e] < 0.1 / E}|`;
    - `overlap[t, u] = mean_b |K_t(b) & K_u(b)| / |K_t(b) | K_u(b)|` (Jaccard);
    - `entropy[t] = -mean_b sum_e p[b, t, e] * log p[b, t, e]`.

    Small int32 variables hold counts, and sums in fixed point: `update_state` runs eagerly, in a compiled
    step, under XLA and in replicas, on TensorFlow and JAX. Counts and overlaps are the same for any split
    into batches and workers, up to 2**35 rows; the logarithm of float32 in an entropy may differ in its last
    bit with the row's position in its batch.

    `result()` is computed on the host. While a graph is built it is an empty dict: on TensorFlow a layer may
    update the metric in its `call`, and `result()` is called after `fit` or `evaluate`, which log nothing of
    it. (On JAX, Keras passes no metrics to a layer's `call`: use `stateless_update_state`, or a separate
    model that returns the routing.)

    Args:
        num_tasks: T, the number of tasks.
        num_experts: E, the number of experts in the pool.
        bound: Maximum number of experts that an instance can execute, `min(E, K_s + sum_t K_a[t])`; reported
            beside the measured sizes.
        name: Name of the metric. Defaults to `"routing_health"`.
        dtype: Accepted for Keras; counts are exact with any.

    Raises:
        ValueError: If `num_tasks`, `num_experts` or `bound` is not positive, or
            `bound > num_experts`.

    Example:

    >>> import numpy as np
    >>> health = RoutingHealth(num_tasks=2, num_experts=4, bound=3)
    >>> chosen_bte = np.array([[[1, 1, 0, 0], [0, 1, 1, 0]]], bool)
    >>> p_bte = np.full((1, 2, 4), 0.25, "float32")
    >>> health.update_state({"probabilities": p_bte, "chosen": chosen_bte, "union": chosen_bte.any(axis=1)})
    >>> result = health.result()
    >>> result["union_mean"], result["dead_experts"], round(result["task_overlap"], 3)
    (3.0, 1, 0.333)

    For a layer, batch by batch: `health.update_state(smes.route(h), mask)`.
    """

    def __init__(
        self, num_tasks: int, num_experts: int, bound: int, name: str = "routing_health", dtype: Any = None
    ) -> None:
        if num_tasks < 1 or not 1 <= bound <= num_experts:
            raise ValueError(
                "`num_tasks` must be positive and `bound` in [1, num_experts]. "
                f"Received: num_tasks={num_tasks}, num_experts={num_experts}, bound={bound}"
            )
        super().__init__(name=name, dtype=dtype)
        self.num_tasks, self.num_experts, self.bound = num_tasks, num_experts, bound
        shapes = {
            "pairs": (num_experts,),
            "union_sizes": (num_experts + 1,),
            "choices": (num_tasks, num_experts),
            "jaccard": (DIGITS, num_tasks, num_tasks),
            "entropy": (DIGITS, num_tasks),
            "refused": (),
        }
        # The first axis: low and high word of the count.
        self._counts = {
            name: self.add_variable((2, *shape), "zeros", dtype="int32", name=name)
            for name, shape in shapes.items()
        }

    def update_state(self, routing: Routing, mask: Tensor | None = None) -> None:
        """Adds the routing of one batch of at most 2**20 rows.

        Args:
            routing: A dict, as `SMES.route` returns it, with `probabilities`, float32 `[B, T, E]`, the
                full softmax of the router logits; `chosen`, bool `[B, T, E]`, whether expert e is in
                the set of task t; and `union`, bool `[B, E]`, whether expert e is executed.
            mask: `[B]` bool, false for padding rows, which don't count. Defaults to `None`,
                all rows count.

        Raises:
            ValueError: A shape or type is wrong. Rows of wrong values are counted, and `result` raises.
        """
        parts = (routing[name] for name in ("probabilities", "chosen", "union"))
        p_bte, chosen_bte, union_be = map(ops.convert_to_tensor, parts)
        self._check_shapes(p_bte, chosen_bte, union_be)
        rows_b = ops.ones_like(union_be[:, 0]) if mask is None else ops.cast(mask, "bool")
        good_b = _good_rows(p_bte, chosen_bte, union_be)
        self._count("refused", _number(ops.logical_and(rows_b, ops.logical_not(good_b))))
        rows_b = ops.logical_and(rows_b, good_b)
        self._count("pairs", _number(ops.logical_and(union_be, rows_b[:, None])))
        self._count("union_sizes", self._number_by_union_size(union_be, rows_b))
        self._count("choices", _number(ops.logical_and(chosen_bte, rows_b[:, None, None])))
        self._count("jaccard", sum_digits(_jaccard(chosen_bte), rows_b[:, None, None]))
        self._count("entropy", sum_digits(_entropy(p_bte), rows_b[:, None]))

    def state(self) -> State:
        """Returns all counts as int64 arrays by name; an all-reduce can sum those of workers."""
        counts = {name: join_words(ops.convert_to_numpy(words)) for name, words in self._counts.items()}
        return {name: join_digits(count) if name in SUMS else count for name, count in counts.items()}

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Adds the `state()` of another metric of the same sizes.

        Raises:
            ValueError: If the arrays are not such a state.
        """
        mine, received = self.state(), {name: np.asarray(array) for name, array in state.items()}
        expected, shapes = ({name: array.shape for name, array in x.items()} for x in (mine, received))
        if expected != shapes:
            raise ValueError(f"`state` must have the arrays {expected}. Received: {shapes}")
        for name, variable in self._counts.items():
            total = mine[name] + received[name]
            variable.assign(split_words(split_digits(total) if name in SUMS else total))

    def merge_state(self, metrics: Sequence["RoutingHealth"]) -> None:
        """Merges other metrics of the same sizes, with the result of one metric over all their batches.

        Raises:
            ValueError: If the sizes differ.
        """
        for metric in metrics:
            mine, theirs = ((m.num_tasks, m.num_experts, m.bound) for m in (self, metric))
            if mine != theirs:
                names = "num_tasks, num_experts and bound"
                raise ValueError(f"`metrics` must have the same {names}, {mine}. Received: {theirs}")
        for state in [metric.state() for metric in metrics]:
            self.add_state(state)

    def get_config(self) -> dict[str, Any]:
        sizes = {"num_tasks": self.num_tasks, "num_experts": self.num_experts, "bound": self.bound}
        return {**sizes, **super().get_config()}

    def result(self) -> dict[str, Any]:
        """Returns the measures over all rows so far, as numbers and lists.

        Returns:
            A JSON-serialisable dict; undefined measures (no rows, no pair of tasks) are `None`:

            - `rows`: number of instances;
            - `expert_load`: `[E]`, share of executed pairs, sums to 1;
            - `load_max_over_mean`, `load_cv`, `load_gini`: of `expert_load`;
            - `dead_experts`: number of experts under a tenth of the mean load;
            - `union_mean`, `union_max`: executed experts of an instance;
            - `union_bound`, `num_experts`: their bound and maximum;
            - `union_sizes`: `[E + 1]`, number of instances with 0, 1, ..., E executed experts;
            - `task_overlap`, `task_overlap_matrix`: mean Jaccard over pairs of different tasks, and by pair;
            - `router_entropy`, `router_entropy_per_task`: mean over instances, in nats, at most `log(E)`;
            - `task_expert_share`: `[T, E]`, the share of the task's choices by expert.

        Raises:
            ValueError: Some rows had wrong values.
        """
        if is_traced():
            return {}
        counts = self.state()
        if refused := int(counts["refused"]):
            raise ValueError(
                "`routing` must have probabilities in [0, 1] and a union with every expert that a task "
                f"chose. Received: {refused} rows without"
            )
        rows = int(counts["union_sizes"].sum())
        overlap_tt, entropy_t = (ratio(counts[name], rows * SCALE) for name in SUMS)
        choices_te = counts["choices"]
        measures = {
            "rows": rows,
            **_load_measures(counts["pairs"]),
            "union_mean": ratio(counts["pairs"].sum(), rows).item(),
            "union_max": np.flatnonzero(counts["union_sizes"]).max() if rows else None,
            "union_bound": self.bound,
            "num_experts": self.num_experts,
            "union_sizes": counts["union_sizes"],
            "task_overlap": _mean(overlap_tt[~np.eye(self.num_tasks, dtype=bool)]),
            "task_overlap_matrix": overlap_tt,
            "router_entropy": _mean(entropy_t),
            "router_entropy_per_task": entropy_t,
            "task_expert_share": ratio(choices_te, choices_te.sum(axis=1, keepdims=True)),
        }
        return {name: _plain(value) for name, value in measures.items()}

    def _count(self, name: str, added: Tensor) -> None:
        low, high = self._counts[name][0], self._counts[name][1]
        low = low + ops.cast(added, "int32")
        carry = ops.floor_divide(low, 2**LOW_BITS)
        self._counts[name].assign(ops.stack([low - carry * 2**LOW_BITS, high + carry]))

    def _number_by_union_size(self, union_be: Tensor, rows_b: Tensor) -> Tensor:
        size_b = ops.sum(ops.cast(union_be, "int32"), axis=1)
        sizes = ops.arange(self.num_experts + 1, dtype="int32")
        return _number(ops.logical_and(ops.equal(size_b[:, None], sizes), rows_b[:, None]))

    def _check_shapes(self, p_bte: Tensor, chosen_bte: Tensor, union_be: Tensor) -> None:
        shapes = [tuple(tensor.shape) for tensor in (p_bte, chosen_bte, union_be)]
        of_rows, rows = [shape[1:] for shape in shapes], {shape[:1] for shape in shapes}
        if of_rows != [(self.num_tasks, self.num_experts)] * 2 + [(self.num_experts,)] or len(rows) > 1:
            raise ValueError(
                "`routing` must have `probabilities`, `chosen` and `union` of shapes [B, T, E], [B, T, E] "
                f"and [B, E] with T={self.num_tasks}, E={self.num_experts}. Received shapes: "
                f"{shapes[0]}, {shapes[1]} and {shapes[2]}"
            )
        dtypes = [keras.backend.standardize_dtype(tensor.dtype) for tensor in (chosen_bte, union_be)]
        if dtypes != ["bool", "bool"]:
            raise ValueError(
                "`chosen` and `union` must be bool. "
                f"Received: chosen.dtype={dtypes[0]}, union.dtype={dtypes[1]}"
            )
        if (shapes[2][0] or 0) > MOST_ROWS:
            raise ValueError(f"A batch must have at most {MOST_ROWS} rows. Received: {shapes[2][0]}")


def _good_rows(p_bte: Tensor, chosen_bte: Tensor, union_be: Tensor) -> Tensor:
    """Returns whether a row's values are a valid routing, bool `[B]`."""
    # A NaN fails both comparisons. Rounding may bring a softmax above 1.
    in_range_b = ops.all(ops.logical_and(p_bte >= 0, p_bte <= 1.001), axis=(1, 2))
    missing_be = ops.logical_and(ops.any(chosen_bte, axis=1), ops.logical_not(union_be))
    return ops.logical_and(in_range_b, ops.logical_not(ops.any(missing_be, axis=1)))


def _jaccard(chosen_bte: Tensor) -> Tensor:
    """Overlap of each pair of tasks' sets, float32 `[B, T, T]`; 1 for two empty sets."""
    chosen_bte = ops.cast(chosen_bte, "float32")  # exact counts up to 2**24
    both_btt = ops.matmul(chosen_bte, ops.transpose(chosen_bte, (0, 2, 1)))
    size_bt = ops.sum(chosen_bte, axis=2)
    either_btt = size_bt[:, :, None] + size_bt[:, None, :] - both_btt
    return ops.where(either_btt > 0, both_btt / ops.maximum(either_btt, 1.0), 1.0)


def _entropy(p_bte: Tensor) -> Tensor:
    """The entropy of each router's softmax, float32 `[B, T]`, in nats; 0 log 0 is 0."""
    p_bte = ops.cast(p_bte, "float32")
    return -ops.sum(p_bte * ops.log(ops.where(p_bte > 0, p_bte, 1.0)), axis=2)


def _number(true_bx: Tensor) -> Tensor:
    return ops.sum(ops.cast(true_bx, "int32"), axis=0)


def _load_measures(pairs_e: NDArray[np.int64]) -> dict[str, Any]:
    num_experts = len(pairs_e)
    load_e = ratio(pairs_e, pairs_e.sum())
    rank_e = np.arange(1, num_experts + 1)
    return {
        "expert_load": load_e,
        "load_max_over_mean": load_e.max() * num_experts,
        "load_cv": load_e.std() * num_experts,  # the mean share is 1 / E
        "load_gini": ((2 * rank_e - num_experts - 1) * np.sort(load_e)).sum() / num_experts,
        "dead_experts": int((load_e < DEAD_SHARE_OF_MEAN / num_experts).sum()) if pairs_e.any() else None,
    }


def _mean(value_x: NDArray[np.float64]) -> float:
    return float(value_x.mean()) if value_x.size else float("nan")


def _plain(value: Any) -> Any:
    """Arrays as lists, NumPy's numbers as Python's, NaN as None."""
    if isinstance(value, np.ndarray | list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if value != value else value
