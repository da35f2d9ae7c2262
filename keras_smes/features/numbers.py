"""Numbers: standardised, optionally after a logarithm, or bucketised and embedded."""

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from keras_smes.features.feature import Counts, Feature
from keras_smes.moments import RunningMoments, nonzero_std


@dataclasses.dataclass(frozen=True)
class Number(Feature):
    """A float32 number, standardised or bucketised; NaN and infinities are missing.

    Standardised, a missing number becomes the mean. In buckets it has its own row 0, and a number x has row
    `1 + (number of boundaries <= x)`.

    Args:
        name: Name of the column and of the served tensor.
        log: Whether to apply `log1p(max(x, 0))` before standardising. Defaults to `False`.
        mean: Mean after the logarithm. `None`, the default: `fit` computes it.
        std: Standard deviation after the logarithm, positive; 1 for a column that is constant up to the
            rounding of float32. `None` as for `mean`.
        buckets: Ascending boundaries, rounded to float32; or the largest number of buckets: `fit` gives each
            value a bucket where there are not more, otherwise one to a value of more than two buckets' share
            of the rows, and divides the other rows by quantiles. `None`, the default, standardises instead.
        dim: Width of a bucket's embedding; unused without `buckets`. Defaults to `16`.
        side: `"user"` or `"candidate"`, as for `Feature`. Defaults to `"candidate"`.
        default: Number for requests that omit it; NaN is the missing number. Defaults to `None`: requests
            must have it.
    """

    log: bool = False
    mean: float | None = None
    std: float | None = None
    buckets: int | tuple[float, ...] | None = None
    dim: int = 16
    kind: ClassVar[str] = "number"
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(isinstance(self.log, bool), "`log` must be true or false", log=self.log)
        self._check_moments()
        if self.buckets is not None:
            self._check_count("dim")
            standardised = self.log or self.mean is not None
            self._check(not standardised, "`buckets` excludes `log`, `mean` and `std`", buckets=self.buckets)
            self._check_buckets()

    def _check_moments(self) -> None:
        moments = {"mean": self.mean, "std": self.std}
        for name, value in moments.items():
            self._check(value is None or _is_finite(value), f"`{name}` must be a number", **{name: value})
        self._check((self.mean is None) == (self.std is None), "`mean` and `std` go together", **moments)
        self._check(self.std is None or self.std > 0, "`std` must be positive", std=self.std)

    def _check_buckets(self) -> None:
        if not isinstance(self.buckets, Sequence):
            return self._check_count("buckets", minimum=2)
        rule = "`buckets` must be a count, or finite boundaries that rise in float32"
        self._check(all(_is_finite(boundary) for boundary in self.buckets), rule, buckets=self.buckets)
        with np.errstate(over="ignore"):
            rounded = np.asarray(self.buckets, np.float32)
        rising = rounded.size > 0 and bool(np.all(np.isfinite(rounded)) and np.all(np.diff(rounded) > 0))
        self._check(rising, rule, buckets=self.buckets)
        object.__setattr__(self, "buckets", tuple(rounded.tolist()))
        return None

    def _checked_default(self) -> float:
        default = super()._checked_default()
        self._check(not math.isinf(default), "`default` must not be infinite", default=self.default)
        # One NaN object: containers compare by identity first, so schemas with it are equal.
        return math.nan if math.isnan(default) else default

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Boundaries of the fitted buckets."""
        if not isinstance(self.buckets, tuple):
            raise ValueError(
                f"Feature {self.name!r} has no fitted buckets: call `schema.fit(columns)` first. "
                f"Received: buckets={self.buckets!r}"
            )
        return self.buckets

    @property
    def num_ids(self) -> int:
        """Rows of the embedding table: one for missing numbers, and one per bucket."""
        return len(self.boundaries) + 2

    @property
    def table_name(self) -> str | None:
        return None if self.buckets is None else self.name

    @property
    def is_fitted(self) -> bool:
        return self.mean is not None or isinstance(self.buckets, tuple)

    def fit(self, values: np.ndarray) -> "Number":
        if self.is_fitted:
            return self
        values = np.asarray(values)
        finite = values[np.isfinite(values)]
        if self.buckets is not None:
            return self._with_boundaries(finite.astype(np.float64))
        moments = self.moments()
        moments.add(finite)
        return self.with_moments(moments)

    def moments(self) -> RunningMoments:
        """Returns moments to which finite values are added, for `with_moments`."""
        return RunningMoments(_log1p if self.log else None)

    def with_moments(self, moments: RunningMoments) -> "Number":
        """Returns the number, fitted to the values that were added."""
        mean, std = moments.result()
        return dataclasses.replace(self, mean=mean, std=nonzero_std(mean, std))

    def _with_boundaries(self, finite: np.ndarray) -> "Number":
        if finite.size == 0:
            return dataclasses.replace(self, buckets=(0.0,))
        boundaries = np.unique(self._boundaries(finite).astype(np.float32))
        # A boundary at the minimum would leave the first bucket empty.
        rising = boundaries[boundaries > finite.min()]
        return dataclasses.replace(self, buckets=tuple(rising.tolist()) or (float(finite.min()),))

    def _boundaries(self, finite: np.ndarray) -> np.ndarray:
        """Each of few values; of many those around the frequent ones, and quantiles of the others."""
        assert isinstance(self.buckets, int)
        values, counts = np.unique(finite, return_counts=True)
        if len(values) <= self.buckets:
            return values
        # Fewer than half of the buckets are of frequent values: others always get quantiles.
        frequent = counts > 2 * finite.size / self.buckets
        others = np.repeat(values[~frequent], counts[~frequent])
        room = self.buckets - 2 * int(frequent.sum())
        quantiles = np.quantile(others, np.arange(1, room) / room)
        return np.concatenate([quantiles, values[frequent], values[1:][frequent[:-1]]])

    def count(self, values: np.ndarray) -> Counts:
        return {"missing": int(np.isnan(values).sum()), "infinite": int(np.isinf(values).sum())}


def _log1p(values: np.ndarray) -> np.ndarray:
    logs: np.ndarray = np.log1p(np.maximum(values, 0))
    return logs


def _is_finite(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
