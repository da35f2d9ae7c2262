"""Base class of features: a named column of raw values, its side and its default."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from keras_smes.features.raw.conversion import CONVERSIONS
from keras_smes.validation import check_count, check_name

SIDES = ("user", "candidate")

Columns = Mapping[str, Any]
Counts = dict[str, int]
# Name of each raw input, with its shape (without batch) and dtype.
InputSpecs = dict[str, tuple[tuple[int | None, ...], str]]


@dataclasses.dataclass(frozen=True)
class Feature:
    """One named column of raw values. Use one of the subclasses.

    Args:
        name: Name of the column and of the served tensor.
        side: `"user"` if all candidates of a request share the value, as for the user and the
            context, or `"candidate"`. Defaults to `"candidate"`.
        default: The raw value for requests that omit the feature. `None`, the default: requests must have
            it.
    """

    name: str
    side: str = dataclasses.field(default="candidate", kw_only=True)
    default: Any = dataclasses.field(default=None, kw_only=True)
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        check_name("name", self.name)
        self._check(self.side in SIDES, f"`side` must be one of {SIDES}", side=self.side)
        if self.default is not None:
            object.__setattr__(self, "default", self._checked_default())

    @property
    def dtype(self) -> str:
        """Type of the raw values: `"int64"`, `"float32"` or `"string"`."""
        raise NotImplementedError

    @property
    def table_name(self) -> str | None:
        """Name of the embedding table, or `None` for a number without one."""
        return None

    @property
    def input_specs(self) -> InputSpecs:
        """The raw inputs that the feature needs: itself, and a length where it has one."""
        return {self.name: ((), self.dtype)}

    @property
    def is_fitted(self) -> bool:
        return True

    def fit(self, values: np.ndarray) -> "Feature":
        """Returns the feature fitted to `values [N]` of the training rows."""
        del values
        return self

    def prepare(self, columns: Columns) -> tuple[dict[str, np.ndarray], Counts]:
        """Returns the feature's raw inputs as typed arrays, and counts of unusual values.

        Raises:
            ValueError: The column's shape is not `[N]`, or its values are of another type.
        """
        values = self.convert(columns[self.name])
        return {self.name: values}, {"rows": len(values), **self.count(values)}

    def convert(self, values: Any) -> np.ndarray:
        """Returns `values` as `[N]` of `dtype`; other types raise an error."""
        return CONVERSIONS[self.dtype](self.name, values)

    def count(self, values: np.ndarray) -> Counts:
        """Returns the numbers of converted `values` that get special treatment, by kind."""
        raise NotImplementedError

    def observed(self, prepared: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the values `[N]` of prepared columns for `fit`."""
        return prepared[self.name]

    def _checked_default(self) -> Any:
        return self.convert([self.default]).tolist()[0]

    def _check(self, condition: bool, rule: str, **received: Any) -> None:
        if not condition:
            values = ", ".join(f"{name}={value!r}" for name, value in received.items())
            raise ValueError(f"{rule}. Received: {values} (feature {self.name!r})")

    def _check_count(self, field: str, minimum: int = 1) -> None:
        try:
            check_count(field, getattr(self, field), minimum)
        except ValueError as error:
            raise ValueError(f"{error} (feature {self.name!r})") from None
