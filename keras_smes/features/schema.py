"""What a row looks like: the names, types and fitted state of a ranker's raw features.

A schema stands alone: it knows NumPy and nothing of models, tables or data sets. It is declared
without state (`IntegerCategory("user_id")`), fitted on training rows (`schema.fit(columns)`), kept
as JSON in a run's configuration, and turned into Keras layers by `keras_smes.features.encoder`.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

NAME_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # what TF Serving takes as a tensor name
MISSING_INTEGER = -1  # how a loader writes an integer category that the source leaves empty
MISSING_STRING = ""

Columns = Mapping[str, np.ndarray]


def check_name(argument: str, name: Any) -> str:
    """Returns `name` if TF Serving takes it as the name of a tensor."""
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        raise ValueError(
            f"`{argument}` must match {NAME_PATTERN.pattern}, as names of served tensors do. "
            f"Received: {argument}={name!r}"
        )
    return name


@dataclasses.dataclass(frozen=True)
class Feature:
    """One named column of raw values. Use one of the subclasses."""

    name: str
    kind: ClassVar[str]
    dtype: ClassVar[str]

    def __post_init__(self) -> None:
        check_name("name", self.name)

    def fit(self, values: np.ndarray) -> "Feature":
        """Returns the feature with the state that `values`, the training rows, give it."""
        del values
        return self

    @property
    def is_fitted(self) -> bool:
        return True


@dataclasses.dataclass(frozen=True)
class _Embedded(Feature):
    dim: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim < 1:
            raise ValueError(f"`dim` must be positive. Received: dim={self.dim} (feature {self.name!r})")


@dataclasses.dataclass(frozen=True)
class _Vocabulary(_Embedded):
    vocabulary: tuple[Any, ...] | None = None
    min_count: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_count < 1:
            raise ValueError(
                f"`min_count` must be positive. Received: min_count={self.min_count} (feature {self.name!r})"
            )
        if self.vocabulary is not None:
            object.__setattr__(self, "vocabulary", tuple(self.vocabulary))

    @property
    def is_fitted(self) -> bool:
        return self.vocabulary is not None

    def _with_known(self, values: np.ndarray, missing: Any) -> Any:
        if self.vocabulary is not None:
            return self
        known, counts = np.unique(values, return_counts=True)
        kept = known[(counts >= self.min_count) & (known != missing)]
        return dataclasses.replace(self, vocabulary=tuple(kept.tolist()))

    @property
    def num_ids(self) -> int:
        """Rows of the embedding table: the vocabulary, and one row for whatever is not in it."""
        if self.vocabulary is None:
            raise ValueError(f"Feature {self.name!r} is not fitted: call `schema.fit(columns)` first.")
        return 1 + len(self.vocabulary)


@dataclasses.dataclass(frozen=True)
class IntegerCategory(_Vocabulary):
    """An int64 id with a vocabulary; an id outside of it shares one out-of-vocabulary row.

    Args:
        name: Name of the column and of the served tensor.
        dim: Width of the embedding. Defaults to `16`.
        vocabulary: Known ids. `None`, the default, takes them from the rows given to `fit`.
        min_count: How many of those rows an id needs; rarer ones count as unknown. Defaults to `1`.
    """

    kind: ClassVar[str] = "integer_category"
    dtype: ClassVar[str] = "int64"

    def fit(self, values: np.ndarray) -> "IntegerCategory":
        return self._with_known(np.asarray(values, np.int64), MISSING_INTEGER)


@dataclasses.dataclass(frozen=True)
class StringCategory(_Vocabulary):
    """A string with a vocabulary; a string outside of it shares one out-of-vocabulary row.

    Args:
        name: Name of the column and of the served tensor.
        dim: Width of the embedding. Defaults to `16`.
        vocabulary: Known strings. `None`, the default, takes them from the rows given to `fit`.
        min_count: How many of those rows a string needs; rarer ones count as unknown. Defaults to `1`.
    """

    kind: ClassVar[str] = "string_category"
    dtype: ClassVar[str] = "string"

    def fit(self, values: np.ndarray) -> "StringCategory":
        return self._with_known(np.asarray(values, str), MISSING_STRING)


@dataclasses.dataclass(frozen=True)
class HashedString(_Embedded):
    """A string hashed into a fixed number of rows: no vocabulary to keep, collisions instead.

    Args:
        name: Name of the column and of the served tensor.
        dim: Width of the embedding. Defaults to `16`.
        num_bins: Rows of the embedding table. Defaults to `1024`.
    """

    num_bins: int = 1024
    kind: ClassVar[str] = "hashed_string"
    dtype: ClassVar[str] = "string"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_bins < 2:
            raise ValueError(
                f"`num_bins` must be at least 2. Received: num_bins={self.num_bins} (feature {self.name!r})"
            )

    @property
    def num_ids(self) -> int:
        return self.num_bins


@dataclasses.dataclass(frozen=True)
class Number(Feature):
    """A float32 number, standardised; NaN and infinities count as missing and become the mean.

    Args:
        name: Name of the column and of the served tensor.
        log: Whether `log1p(max(x, 0))` comes before standardising. Defaults to `False`.
        mean: Mean after the logarithm. `None`, the default, takes it from the rows given to `fit`.
        std: Standard deviation after the logarithm, positive. `None` as for `mean`.
    """

    log: bool = False
    mean: float | None = None
    std: float | None = None
    kind: ClassVar[str] = "number"
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.mean is None) != (self.std is None):
            raise ValueError(
                f"`mean` and `std` go together. Received: mean={self.mean}, std={self.std} "
                f"(feature {self.name!r})"
            )
        if self.std is not None and not self.std > 0:
            raise ValueError(f"`std` must be positive. Received: std={self.std} (feature {self.name!r})")

    @property
    def is_fitted(self) -> bool:
        return self.mean is not None

    def fit(self, values: np.ndarray) -> "Number":
        if self.is_fitted:
            return self
        finite = np.asarray(values, np.float64)
        finite = finite[np.isfinite(finite)]
        if self.log:
            finite = np.log1p(np.maximum(finite, 0))
        if finite.size == 0:
            return dataclasses.replace(self, mean=0.0, std=1.0)
        return dataclasses.replace(self, mean=float(finite.mean()), std=float(finite.std()) or 1.0)


_KINDS: dict[str, type[Feature]] = {
    cls.kind: cls for cls in (IntegerCategory, StringCategory, HashedString, Number)
}


@dataclasses.dataclass(frozen=True)
class FeatureSchema:
    """The raw features of a model, in order.

    Args:
        features: The features; names must differ.

    Example:

    >>> schema = FeatureSchema((IntegerCategory("user_id", dim=8), Number("age")))
    >>> schema = schema.fit({"user_id": np.array([7, 9, 7]), "age": np.array([20.0, 30.0, 40.0])})
    >>> schema["user_id"].vocabulary
    (7, 9)
    """

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))
        names = self.names
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated or not names:
            raise ValueError(
                f"`features` must be named once each, and not be empty. Received: repeated={repeated}"
            )

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def __getitem__(self, name: str) -> Feature:
        return next(feature for feature in self.features if feature.name == name)

    @property
    def is_fitted(self) -> bool:
        return all(feature.is_fitted for feature in self.features)

    def fit(self, columns: Columns) -> "FeatureSchema":
        """Returns the schema with vocabularies and moments of the training rows."""
        missing = sorted(set(self.names) - set(columns))
        if missing:
            raise ValueError(f"`columns` lacks features of the schema. Received: missing={missing}")
        return FeatureSchema(tuple(feature.fit(columns[feature.name]) for feature in self.features))

    def to_config(self) -> list[dict[str, Any]]:
        """Returns the schema as plain JSON values."""
        return [{"kind": feature.kind, **dataclasses.asdict(feature)} for feature in self.features]

    @classmethod
    def from_config(cls, config: Iterable[Mapping[str, Any]]) -> "FeatureSchema":
        """Returns the schema that `to_config` wrote."""
        return cls(tuple(_feature_from_config(dict(entry)) for entry in config))


def _feature_from_config(entry: dict[str, Any]) -> Feature:
    kind = entry.pop("kind", None)
    if kind not in _KINDS:
        raise ValueError(f"`kind` must be one of {sorted(_KINDS)}. Received: kind={kind!r}")
    return _KINDS[kind](**entry)
