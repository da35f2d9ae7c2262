"""What all features have in common: a named column of raw values, its side and its default."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from keras_smes.checks import check_count, check_name
from keras_smes.features.conversion import CONVERSIONS

SIDES = ("user", "candidate")

Columns = Mapping[str, Any]
Counts = dict[str, int]
# Name of each raw input, with its shape (the batch aside) and dtype.
InputSpecs = dict[str, tuple[tuple[int | None, ...], str]]


@dataclasses.dataclass(frozen=True)
class Feature:
    """One named column of raw values. Use one of the subclasses.

    Args:
        name: Name of the column and of the served tensor.
        side: `"user"` if all candidates of a request have the same value, as for the user and the
            context, or `"candidate"`. Defaults to `"candidate"`.
        default: The raw value that stands where a request leaves the feature out. `None`, the default,
            means that a request must have it.
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
        """Name of the embedding table, or `None` if the feature is a plain number."""
        return None

    @property
    def input_specs(self) -> InputSpecs:
        """The raw inputs that the feature needs: itself, and a length where it has one."""
        return {self.name: ((), self.dtype)}

    @property
    def is_fitted(self) -> bool:
        return True

    def fit(self, values: np.ndarray) -> "Feature":
        """Returns the feature with the state that `values [N]`, those of the training rows, give it."""
        del values
        return self

    def prepare(self, columns: Columns) -> tuple[dict[str, np.ndarray], Counts]:
        """Returns the feature's raw inputs as typed arrays, and counts of what is unusual in them.

        Raises:
            ValueError: The column is no `[N]`, or its values are of another type.
        """
        values = self.convert(columns[self.name])
        return {self.name: values}, {"rows": len(values), **self.count(values)}

    def convert(self, values: Any) -> np.ndarray:
        """Returns `values` as `[N]` of `dtype`, or refuses what isn't of that type."""
        return CONVERSIONS[self.dtype](self.name, values)

    def count(self, values: np.ndarray) -> Counts:
        """Returns how many of the converted `values` get a treatment of their own."""
        raise NotImplementedError

    def observed(self, prepared: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the values `[N]` of prepared columns that `fit` learns from."""
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
