"""Fusion of the tasks' scores into the score by which candidates are ordered."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_smes.types import Shape, Tensor
from keras_smes.validation import check_number, check_one_of, check_weight

ByTask = float | Mapping[str, float]
METHODS = ("product", "sum")
# Lower bound of a base: powers and logarithms stay within float32.
SMALLEST = 1e-30
LARGEST_LOG = 80.0


@keras.saving.register_keras_serializable(package="keras_smes")
class ScoreFusion(keras.layers.Layer):
    """Fuses scores by a weighted product or a weighted sum, with an exponent per task.

    ```
    product:  fused = prod_t (a[t] + b[t] * s[t])^c[t]
    sum:      fused = sum_t b[t] * sign(s[t]) * |s[t]|^c[t]
    ```

    with weights b, exponents c and offsets a, which are set by hand: nothing is learned. The fused score
    increases with every score whose weight and exponent are positive. A negative signal, such as a dislike,
    has a negative exponent in a product, or a negative weight in a sum.

    In a product without offsets, a weight only scales the result. An offset of 1 limits the influence of
    scores near 0. The product is computed as a sum of logarithms, bounded to [-80, 80], and bases under
    1e-30, negative ones included, count as 1e-30. So no value is infinite or NaN, and the order is kept
    within these bounds. Negative scores, such as those of a regression, need an offset above their absolute
    value.

    A sum takes scores of either sign, and keeps their order if the exponent is positive. Otherwise scores
    under 1e-30, negative ones included, count as 1e-30. Powers are bounded to exp(80).

    Args:
        weights: Dict from task name to weight b, a finite number; at least 0 for a product. Scores of other
            tasks are ignored.
        exponents: Exponent c of all tasks, or a dict from each task's name to its own. Defaults to `1.0`.
        offsets: Offset a, at least 0, of all tasks or by task; only for a product. Defaults to `0.0`.
        method: `"product"` or `"sum"`. Defaults to `"product"`.

    Call arguments:
        scores: Dict from task name to score, `[B]`, such as a ranker's outputs.

    Returns:
        `[B]`, float32 under any dtype policy.

    Raises:
        ValueError: There is no weight, `method` is unknown, a number is out of range, or exponents or offsets
            name other tasks than the weights. When called: the score of a task is missing.

    Example:

    >>> fuse = ScoreFusion({"click": 1.0, "like": 10.0}, exponents={"click": 1.0, "like": 0.5}, offsets=1.0)
    >>> scores = {"click": np.array([0.5, 0.2]), "like": np.array([0.0, 0.3])}
    >>> [round(float(x), 4) for x in fuse(scores)]  # 1.5 * 1 and 1.2 * sqrt(4)
    [1.5, 2.4]
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        exponents: ByTask = 1.0,
        offsets: ByTask = 0.0,
        method: str = "product",
        **kwargs: Any,
    ) -> None:
        # Rare events have small scores: never half precision.
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        check_one_of("method", method, METHODS)
        if not isinstance(weights, Mapping) or not weights:
            raise ValueError(f"`weights` must be a dict from tasks to numbers. Received: weights={weights!r}")
        if method == "sum" and offsets != 0.0:
            raise ValueError(f"`offsets` need method='product'. Received: offsets={offsets!r}")
        self.method = method
        self.tasks = list(weights)
        self._weight_t = self._by_task(
            "weights", weights, check_weight if method == "product" else check_number
        )
        self._exponent_t = self._by_task("exponents", exponents, check_number)
        self._offset_t = self._by_task("offsets", offsets, check_weight)

    def _by_task(self, name: str, values: ByTask, check: Any) -> list[float]:
        if not isinstance(values, Mapping):
            return [check(name, values)] * len(self.tasks)
        if set(values) != set(self.tasks):
            raise ValueError(
                f"`{name}` must name the tasks of `weights`, {self.tasks}. Received: {name}={dict(values)}"
            )
        return [check(f"{name}[{task}]", values[task]) for task in self.tasks]

    def call(self, scores: Mapping[str, Tensor]) -> Tensor:
        if missing := sorted(set(self.tasks) - set(scores)):
            raise ValueError(f"`scores` must have tasks {self.tasks}. Received: missing={missing}")
        score_bt = ops.stack([ops.cast(scores[task], "float32") for task in self.tasks], axis=1)
        weight_t, exponent_t, offset_t = (
            np.asarray(values, np.float32) for values in (self._weight_t, self._exponent_t, self._offset_t)
        )
        if self.method == "sum":
            return ops.sum(weight_t * _signed_power(score_bt, exponent_t), axis=1)
        log_bt = ops.log(ops.maximum(offset_t + weight_t * score_bt, SMALLEST))
        return ops.exp(ops.clip(ops.sum(exponent_t * log_bt, axis=1), -LARGEST_LOG, LARGEST_LOG))

    def compute_output_shape(self, scores_shape: Mapping[str, Shape]) -> tuple[int | None, ...]:
        return tuple(scores_shape[self.tasks[0]])

    def get_config(self) -> dict[str, Any]:
        product = self.method == "product"
        return {
            **super().get_config(),
            "weights": dict(zip(self.tasks, self._weight_t, strict=True)),
            "exponents": dict(zip(self.tasks, self._exponent_t, strict=True)),
            "offsets": dict(zip(self.tasks, self._offset_t, strict=True)) if product else 0.0,
            "method": self.method,
        }


def _signed_power(score_bt: Tensor, exponent_t: np.ndarray) -> Tensor:
    """Returns `sign(s) * |s|^c`, which increases with s for c above 0, and equals s for c = 1."""
    rises_t = exponent_t > 0
    base_bt = ops.maximum(ops.where(rises_t, ops.abs(score_bt), score_bt), SMALLEST)
    power_bt = ops.where(rises_t, ops.sign(score_bt), 1.0) * ops.power(base_bt, exponent_t)
    power_bt = ops.where(exponent_t == 1, score_bt, power_bt)
    return ops.clip(power_bt, -math.exp(LARGEST_LOG), math.exp(LARGEST_LOG))
