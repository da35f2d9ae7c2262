"""Exact streaming metrics for Keras: updated batch by batch, merged across workers."""

import abc
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_smes.backend.host_calls import call_on_host, is_traced, wait_for_host_calls
from keras_smes.metrics.exact_sums import PLACES, exact_sums, rounded
from keras_smes.metrics.ids import as_ids, joined
from keras_smes.metrics.rows import BINARY, FINITE, ID, WEIGHT, Rule, Vector, counted, ratio
from keras_smes.types import Tensor

State = dict[str, NDArray[Any]]


class StreamingMetric(keras.metrics.Metric, abc.ABC):
    """A Keras metric with its state on the host, as NumPy arrays: exact for any split into batches.

    `result()` is a Python float over all rows, bit-identical for any split of rows into batches or workers
    and any order of rows. A bad batch raises an error and is not counted.

    Usage:

    - In a loop: `metric.update_state(y_true, y_pred, sample_weight, users=users)` per batch.
    - In `fit`, on validation rows: the callback `RankingEvaluation`, which passes users and works with
      any compiled or distributed model.
    - In `compile(metrics=[...])` (`weighted_metrics=` with weights), for `fit` and `evaluate`: one
      call to the host per batch. The metric is computed once, when an epoch or `evaluate` ends. Inside the
      compiled step it is NaN, which the progress bar shows (and `test_on_batch` returns: call
      `result()`). TensorFlow can't call the host from XLA: it raises an error that asks for
      `compile(jit_compile=False)`. Metrics that need users take them beside the label, `y_true` `[B, 2]`,
      if the loss allows it. JAX compiles integers as int32 unless `jax_enable_x64` is set: number users
      below 2**31, or use `RankingEvaluation`.
    - Across workers: `for state in all_gather(metric.state()): total.add_state(state)`.

    Args:
        name: Name of the metric. Defaults to `None`, the class's, such as `"auc"`.
        dtype: Accepted for Keras; sums are exact with any.
    """

    NAME: ClassVar[str | None] = None
    LABELS: ClassVar[Rule] = BINARY
    SCORES: ClassVar[Rule] = FINITE
    WEIGHTS: ClassVar[Rule] = WEIGHT
    BY_USER: ClassVar[bool] = False

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name or self.NAME, dtype=dtype)
        self._parts: deque[State] = deque()  # append is atomic: replicas call from their own threads

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None, users: Tensor | None = None
    ) -> None:
        """Adds a batch.

        Args:
            y_true: Labels, `[B]` or `[B, 1]`; for metrics within users also `[B, 2]`, label and user, if
                `users` isn't given.
            y_pred: Scores, `[B]` or `[B, 1]`.
            sample_weight: Weights of at least 0, `[B]` or `[B, 1]`; rows of weight 0 are ignored, with any
                values. Defaults to `None`, all 1.
            users: `[B]`, integers or strings: the user of each row, null where unknown. Defaults to `None`.

        Raises:
            ValueError: Lengths differ, a value is invalid, or users are missing.
            NotImplementedError: XLA compiles the call on TensorFlow.
        """
        columns = {"y_true": y_true, "y_pred": y_pred, "sample_weight": sample_weight, "users": users}
        given = {name: values for name, values in columns.items() if values is not None}

        def add(*arrays: Any) -> None:
            named = zip(given, arrays, strict=True)
            self._parts.append(self._part(**{name: _to_numpy(name, values) for name, values in named}))

        if is_traced():
            call_on_host(add, [keras.ops.convert_to_tensor(values) for values in given.values()])
        else:
            add(*given.values())

    def state(self) -> State:
        """Returns the state, which can be gathered from workers.

        Returns:
            A dict of arrays by name.
        """
        wait_for_host_calls()
        parts = [self._parts.popleft() for _ in range(len(self._parts))]
        joined = self._join(parts) if parts else self._empty()
        self._parts.append(joined)
        return dict(joined)

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Adds the state of another metric of the same configuration.

        Args:
            state: Its `state()`; the arrays are copied.

        Raises:
            ValueError: If the arrays are not such a state.
        """
        arrays = {name: np.array(array) for name, array in state.items()}
        expected, received = self._signature(self._empty()), self._signature(arrays)
        if expected != received:
            raise ValueError(f"`state` must be that of {self}, {expected}. Received: {received}")
        self._parts.append(arrays)

    def merge_state(self, metrics: Sequence["StreamingMetric"]) -> None:
        """Merges other metrics, which do not change.

        Args:
            metrics: Metrics of the same class and configuration.

        Raises:
            ValueError: If a metric is of another class or configuration.
        """
        for metric in metrics:
            if type(metric) is not type(self):
                raise ValueError(f"`metrics` must be of {type(self).__name__}. Received: {metric}")
        for state in [metric.state() for metric in metrics]:
            self.add_state(state)

    def reset_state(self) -> None:
        wait_for_host_calls()
        self._parts.clear()

    def result(self) -> Any:
        """Returns the metric over all rows so far.

        Returns:
            A float, NaN where the metric is undefined; a NaN tensor while a graph is built.
        """
        if is_traced():
            return keras.ops.convert_to_tensor(float("nan"), dtype="float32")
        return self._measure(**self.state())

    def _part(
        self,
        y_true: NDArray,
        y_pred: NDArray,
        sample_weight: NDArray | None = None,
        users: NDArray | None = None,
    ) -> State:
        columns: dict[str, tuple[NDArray | None, Rule]] = {}
        if self.BY_USER:
            y_true, users = (y_true, users) if users is not None else _label_and_user(y_true)
            columns["users"] = (_flat(users), ID)
        label_n, score_n, weight_n, *user_n = counted(
            y_true=(_flat(y_true), self.LABELS),
            y_pred=(_flat(y_pred), self.SCORES),
            sample_weight=(None if sample_weight is None else _flat(sample_weight), self.WEIGHTS),
            **columns,
        )
        return self._state_of_rows(_narrow(label_n, y_true), _narrow(score_n, y_pred), weight_n, *user_n)

    @abc.abstractmethod
    def _state_of_rows(self, *columns: NDArray) -> State:
        """State of these rows: labels, scores, weights, and users in metrics within users."""

    @abc.abstractmethod
    def _empty(self) -> State: ...

    @abc.abstractmethod
    def _join(self, parts: list[State]) -> State: ...

    @abc.abstractmethod
    def _signature(self, state: State) -> Any:
        """Signature of states that can be merged."""

    @abc.abstractmethod
    def _measure(self, **state: NDArray) -> float: ...


class RowMetric(StreamingMetric):
    """A streaming metric that needs all rows, such as the AUC: it stores them.

    A row takes 16 to 32 bytes of host memory: labels and scores in their own type, float64 weights, 8 bytes
    per user (more for strings); `result()` takes about 100 more bytes per row while it sorts. State and usage
    are those of `StreamingMetric`.

    Args:
        name: Name of the metric. Defaults to `None`, the class's.
        dtype: See `StreamingMetric`.
    """

    FUNCTION: ClassVar[Callable[..., Any]]  # of columns by name: `labels`, `scores`, `weights`, `users`

    def _state_of_rows(self, *columns: NDArray) -> State:
        # Copies: the caller or the step may reuse the memory of the arrays.
        return {name: np.array(column) for name, column in zip(self._empty(), columns, strict=True)}

    def _empty(self) -> State:
        empty = {name: np.zeros(0, np.float32) for name in ("labels", "scores", "weights")}
        return {**empty, "users": np.zeros(0, np.int64)} if self.BY_USER else empty

    def _join(self, parts: list[State]) -> State:
        filled = [part for part in parts if len(part["labels"])] or parts[:1]
        join = {"users": joined}
        return {name: join.get(name, np.concatenate)([p[name] for p in filled]) for name in self._empty()}

    def _measure(self, **rows: NDArray) -> float:
        return float(self.FUNCTION(**rows))

    def _signature(self, state: State) -> Any:
        shapes = {array.shape for array in state.values()}
        one_length = len(shapes) == 1 and all(len(shape) == 1 for shape in shapes)
        return sorted(state), "of one length" if one_length else shapes


class SumMetric(StreamingMetric):
    """A streaming metric of sums over rows, such as the log loss: its state has a fixed size.

    Sums are exact for weights of any size, and rounded once in `result()`. `state()["sums"]` is
    int64 `[PLACES, NUM_SUMS, num_bins]`, see `exact_sums`; an all-reduce can sum states of
    workers.

    Args:
        name: Name of the metric. Defaults to `None`, the class's.
        dtype: See `StreamingMetric`.
    """

    NUM_SUMS: ClassVar[int] = 2
    num_bins = 1

    @abc.abstractmethod
    def _values(self, label_n: Vector, score_n: Vector, weight_n: Vector) -> Sequence[Vector]:
        """Terms that are summed over the rows: `NUM_SUMS` vectors."""

    def _bins(self, score_n: Vector) -> NDArray[np.intp]:
        """Index of a row's bin among `num_bins`."""
        return np.zeros(len(score_n), np.intp)

    def _state_of_rows(self, *columns: NDArray) -> State:
        columns = tuple(column.astype(np.float64) for column in columns)
        bin_n, state = self._bins(columns[1]), self._empty()
        with np.errstate(over="ignore"):  # rejected by name below
            values = self._values(*columns)
        for i, value_n in enumerate(values):
            state["sums"][:, i] = exact_sums(value_n, bin_n, self.num_bins)
        return state

    def _empty(self) -> State:
        return {"sums": np.zeros((PLACES, self.NUM_SUMS, self.num_bins), np.int64)}

    def _join(self, parts: list[State]) -> State:
        return {"sums": np.sum([part["sums"] for part in parts], axis=0)}

    def _signature(self, state: State) -> Any:
        return {name: (array.shape, array.dtype) for name, array in state.items()}

    def _measure(self, sums: NDArray[np.int64]) -> float:  # type: ignore[override]
        return self._measure_sums(rounded(sums))

    def _measure_sums(self, sums: Vector) -> float:
        """The metric of sums `[NUM_SUMS, num_bins]`: the first over the second."""
        numerator, denominator = sums[:, 0]
        return float(ratio(numerator, denominator))


def _to_numpy(name: str, values: Any) -> NDArray:
    if keras.ops.is_tensor(values):
        return keras.ops.convert_to_numpy(values)
    return as_ids(name, values) if name == "users" else np.asarray(values)


def _flat(values: NDArray) -> NDArray:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _narrow(value_n: Vector, like: NDArray) -> NDArray:
    """Returns floats in their own width: half the memory for float32."""
    return value_n.astype(like.dtype) if like.dtype.kind == "f" else value_n


def _label_and_user(y_true: NDArray) -> tuple[NDArray, NDArray]:
    if y_true.ndim != 2 or y_true.shape[1] != 2:
        raise ValueError(
            "`users` must be given, or stand beside the label in a `y_true` of shape [B, 2]. "
            f"Received: users=None, y_true of shape {y_true.shape}"
        )
    label_n, user_n = y_true.T
    if y_true.dtype.kind != "f":
        return label_n, user_n
    limit = 2 ** (np.finfo(y_true.dtype).nmant + 1)  # above, not every integer is a float
    bad = np.flatnonzero(~(np.abs(user_n) < limit) & ~np.isnan(user_n))
    if bad.size:
        raise ValueError(
            f"Users beside labels of {y_true.dtype} must be under {limit}, or distinct ones may be one. "
            f"Received: y_true[{bad[0]}, 1]={user_n[bad[0]]}"
        )
    return label_n, user_n
