"""How evenly and how sparsely a router spreads work over experts, over a whole data set."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEAD_SHARE_OF_MEAN = 0.1
FIXED_POINT = 2.0**30  # 1e-9 apart, finer than float32 probabilities; int64 holds the sum of 1e9 rows


class RoutingHealth:
    """Measures of routing health, accumulated over batches.

    With `U(b)` the experts executed for instance b and `K_t(b)` those that task t chose:

    - `load[e] = sum_b 1[e in U(b)] / sum_b |U(b)|`, the share of executed (instance, expert) pairs;
    - `load_max_over_mean = max_e load[e] * E`, `load_cv = std_e(load) / mean_e(load)`, and
      `load_gini = sum_e (2 rank[e] - E - 1) * load[e] / E` with ranks 1 to E by load;
    - `dead_experts = |{e: load[e] < 0.1 / E}|`;
    - `overlap[t, u] = mean_b |K_t(b) & K_u(b)| / |K_t(b) | K_u(b)|` (Jaccard);
    - `entropy[t] = -mean_b sum_e p[b, t, e] * log p[b, t, e]`.

    All sums are kept as integers (the ratios in fixed point, to 1e-9), so the result does not
    depend in a single bit on the order of the rows or on how they were split into batches.
    Padding rows are rows like any other here: leave them out of `update`.

    Args:
        num_tasks: T, the number of tasks.
        num_experts: E, the number of experts in the pool.
        bound: The most experts an instance can execute, `min(E, K_s + sum_t K_a[t])`; reported
            beside the measured sizes.

    Raises:
        ValueError: If `num_tasks`, `num_experts` or `bound` is not positive, or
            `bound > num_experts`.

    Example:

    >>> import numpy as np
    >>> from keras_smes.metrics import RoutingHealth
    >>> health = RoutingHealth(num_tasks=2, num_experts=4, bound=3)
    >>> chosen_bte = np.array([[[1, 1, 0, 0], [0, 1, 1, 0]]], bool)
    >>> health.update(np.full((1, 2, 4), 0.25), chosen_bte, chosen_bte.any(axis=1))
    >>> result = health.result()
    >>> result["union_mean"], result["dead_experts"], round(result["task_overlap"], 3)
    (3.0, 1, 0.333)
    """

    def __init__(self, num_tasks: int, num_experts: int, bound: int) -> None:
        if num_tasks < 1 or not 1 <= bound <= num_experts:
            raise ValueError(
                "`num_tasks` must be positive and `bound` in [1, num_experts]. "
                f"Received: num_tasks={num_tasks}, num_experts={num_experts}, bound={bound}"
            )
        self.num_tasks, self.num_experts, self.bound = num_tasks, num_experts, bound
        self._pairs_e = np.zeros(num_experts, np.int64)
        self._rows_by_union_size = np.zeros(num_experts + 1, np.int64)
        self._choices_te = np.zeros((num_tasks, num_experts), np.int64)
        self._jaccard_tt = np.zeros((num_tasks, num_tasks), np.int64)
        self._entropy_t = np.zeros(num_tasks, np.int64)

    def update(self, probabilities: ArrayLike, chosen: ArrayLike, union: ArrayLike) -> None:
        """Adds the routing of one batch.

        Args:
            probabilities: `[B, T, E]` float32, the full softmax of the router logits.
            chosen: `[B, T, E]` bool, whether expert e is in the set of task t.
            union: `[B, E]` bool, whether expert e is executed for the instance.

        Raises:
            ValueError: If a shape or type is wrong, a probability is negative or not finite, or a
                chosen expert is not in the union.
        """
        p_bte, chosen_bte, union_be = np.asarray(probabilities), np.asarray(chosen), np.asarray(union)
        self._check_shapes(p_bte, chosen_bte, union_be)
        _check_values(p_bte, chosen_bte, union_be)
        self._pairs_e += union_be.sum(axis=0)
        self._rows_by_union_size += np.bincount(union_be.sum(axis=1), minlength=self.num_experts + 1)
        self._choices_te += chosen_bte.sum(axis=0)
        self._jaccard_tt += _fixed_point_sum(_jaccard(chosen_bte))
        self._entropy_t += _fixed_point_sum(_entropy(p_bte))

    def merge(self, other: "RoutingHealth") -> None:
        """Adds what another accumulator has seen, as if its batches had been given to this one.

        Args:
            other: A `RoutingHealth` of the same `num_tasks`, `num_experts` and `bound`.

        Raises:
            ValueError: If the sizes differ.
        """
        if self._sizes() != other._sizes():
            raise ValueError(
                "`other` must have the same num_tasks, num_experts and bound, "
                f"{self._sizes()}. Received: {other._sizes()}"
            )
        self._pairs_e += other._pairs_e
        self._rows_by_union_size += other._rows_by_union_size
        self._choices_te += other._choices_te
        self._jaccard_tt += other._jaccard_tt
        self._entropy_t += other._entropy_t

    def result(self) -> dict[str, Any]:
        """Returns the measures over all rows so far, as plain numbers and lists.

        Returns:
            A dict that JSON can hold, in which `None` stands for what is not defined (no rows; no
            pair of tasks):

            - `rows`: number of instances;
            - `expert_load`: `[E]`, share of executed pairs, sums to 1;
            - `load_max_over_mean`, `load_cv`, `load_gini`: of `expert_load`;
            - `dead_experts`: number of experts under a tenth of the mean load;
            - `union_mean`, `union_max`: executed experts of an instance;
            - `union_bound`, `num_experts`: what to hold them against;
            - `union_sizes`: `[E + 1]`, number of instances with 0, 1, ..., E executed experts;
            - `task_overlap`: mean Jaccard over pairs of different tasks;
            - `task_overlap_matrix`: `[T, T]`, the same by pair;
            - `router_entropy`: in nats, mean over instances and tasks (at most `log(E)`);
            - `router_entropy_per_task`: `[T]`, in nats;
            - `task_expert_share`: `[T, E]`, the share of the task's choices by expert.
        """
        rows = int(self._rows_by_union_size.sum())
        overlap_tt = _ratio(self._jaccard_tt, rows * FIXED_POINT)
        entropy_t = _ratio(self._entropy_t, rows * FIXED_POINT)
        measures = {
            "rows": rows,
            **_load_measures(self._pairs_e),
            **self._union_measures(rows),
            "task_overlap": _mean(overlap_tt[~np.eye(self.num_tasks, dtype=bool)]),
            "task_overlap_matrix": overlap_tt,
            "router_entropy": _mean(entropy_t),
            "router_entropy_per_task": entropy_t,
            "task_expert_share": _ratio(self._choices_te, self._choices_te.sum(axis=1, keepdims=True)),
        }
        return {name: _plain(value) for name, value in measures.items()}

    def _union_measures(self, rows: int) -> dict[str, Any]:
        sizes = np.flatnonzero(self._rows_by_union_size)
        return {
            "union_mean": int(self._pairs_e.sum()) / rows if rows else None,
            "union_max": int(sizes.max()) if rows else None,
            "union_bound": self.bound,
            "num_experts": self.num_experts,
            "union_sizes": self._rows_by_union_size,
        }

    def _sizes(self) -> tuple[int, int, int]:
        return self.num_tasks, self.num_experts, self.bound

    def _check_shapes(self, p_bte: NDArray, chosen_bte: NDArray, union_be: NDArray) -> None:
        rows = union_be.shape[:1]
        shape_bte, shape_be = (*rows, self.num_tasks, self.num_experts), (*rows, self.num_experts)
        if not p_bte.shape == chosen_bte.shape == shape_bte or union_be.shape != shape_be:
            raise ValueError(
                "`probabilities`, `chosen` and `union` must be [B, T, E], [B, T, E] and [B, E] with "
                f"T={self.num_tasks}, E={self.num_experts}. Received shapes: "
                f"{p_bte.shape}, {chosen_bte.shape} and {union_be.shape}"
            )
        if chosen_bte.dtype != bool or union_be.dtype != bool:
            raise ValueError(
                "`chosen` and `union` must be bool. "
                f"Received: chosen.dtype={chosen_bte.dtype}, union.dtype={union_be.dtype}"
            )


def _check_values(p_bte: NDArray, chosen_bte: NDArray[np.bool_], union_be: NDArray[np.bool_]) -> None:
    bad_bte = ~(np.isfinite(p_bte) & (p_bte >= 0))
    if bad_bte.any():
        raise ValueError(f"`probabilities` must be finite and not negative. Received: {p_bte[bad_bte][0]}")
    missing_be = chosen_bte.any(axis=1) & ~union_be
    if missing_be.any():
        row, expert = np.argwhere(missing_be)[0]
        raise ValueError(
            "`union` must hold every expert that a task chose. "
            f"Received: union[{row}, {expert}]=False, chosen by a task"
        )


def _jaccard(chosen_bte: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The overlap of each pair of tasks' sets, [B, T, T]; two empty sets are equal, so 1."""
    chosen_float_bte = chosen_bte.astype(np.float32)  # a BLAS product; counts are exact to 2**24
    both_btt = (chosen_float_bte @ chosen_float_bte.transpose(0, 2, 1)).astype(np.float64)
    size_bt = chosen_bte.sum(axis=2)
    either_btt = size_bt[:, :, None] + size_bt[:, None, :] - both_btt
    return np.where(either_btt > 0, both_btt / np.maximum(either_btt, 1), 1.0)


def _entropy(p_bte: NDArray[np.floating]) -> NDArray[np.float64]:
    """The entropy of each router's softmax, [B, T], in nats; 0 log 0 is 0."""
    p_bte = p_bte.astype(np.float64, order="C")  # one order of summation, whatever the caller's strides
    return -(p_bte * np.log(np.where(p_bte > 0, p_bte, 1.0))).sum(axis=2)


def _fixed_point_sum(value_bx: NDArray[np.float64]) -> NDArray[np.int64]:
    # Integers add exactly: rounding each row, and not the sum, keeps the split into batches out of it.
    return np.rint(value_bx * FIXED_POINT).astype(np.int64).sum(axis=0)


def _load_measures(pairs_e: NDArray[np.int64]) -> dict[str, Any]:
    num_experts = len(pairs_e)
    load_e = _ratio(pairs_e, pairs_e.sum())
    rank_e = np.arange(1, num_experts + 1)
    return {
        "expert_load": load_e,
        "load_max_over_mean": load_e.max() * num_experts,
        "load_cv": load_e.std() * num_experts,  # the mean share is 1 / E
        "load_gini": ((2 * rank_e - num_experts - 1) * np.sort(load_e)).sum() / num_experts,
        "dead_experts": int((load_e < DEAD_SHARE_OF_MEAN / num_experts).sum()) if pairs_e.any() else None,
    }


def _ratio(numerator: NDArray[np.int64], denominator: Any) -> NDArray[np.float64]:
    """The quotient, NaN where nothing was counted."""
    denominator = np.broadcast_to(np.asarray(denominator, np.float64), numerator.shape)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _mean(value_x: NDArray[np.float64]) -> float:
    return float(value_x.mean()) if value_x.size else float("nan")


def _plain(value: Any) -> Any:
    """Arrays as lists, NumPy's numbers as Python's, NaN as None."""
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if np.isnan(value) else float(value)
    return value
