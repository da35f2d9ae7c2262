"""Categories: one id or string per row, looked up in an embedding table by vocabulary or hash."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from keras_smes.features.feature import Counts, Feature
from keras_smes.features.raw.conversion import MISSING_INTEGER, MISSING_STRING
from keras_smes.validation import check_name

# Placeholders for out-of-vocabulary values, which no row may have: Keras' -1 and "[UNK]" could be values.
RESERVED_INTEGER = -(2**63)
RESERVED_STRING = "\x1aunknown"


@dataclasses.dataclass(frozen=True)
class Embedded(Feature):
    """A feature with an embedding table. Use one of the subclasses."""

    dim: int = 16
    table: str | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_count("dim")
        if self.table is not None:
            check_name("table", self.table)

    @property
    def table_name(self) -> str:
        return self.table or self.name

    @property
    def item(self) -> "Category":
        """Category of a single value: the feature itself, unless it has many values per row."""
        raise NotImplementedError

    @property
    def num_ids(self) -> int:
        """Rows of the embedding table."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Category(Embedded):
    """A category with one value per row. Use one of the subclasses."""

    missing: ClassVar[Any]

    @property
    def item(self) -> "Category":
        return self

    def count(self, values: np.ndarray) -> Counts:
        return {"missing": int(np.sum(values == self.missing))}


@dataclasses.dataclass(frozen=True)
class Vocabulary(Category):
    """A category with a vocabulary; other values share row 0. Use one of the subclasses."""

    vocabulary: tuple[Any, ...] | None = None
    min_count: int = 1
    reserved: ClassVar[Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_count("min_count")
        if self.vocabulary is not None:
            object.__setattr__(self, "vocabulary", self._checked_vocabulary())

    def _checked_vocabulary(self) -> tuple[Any, ...]:
        given = self.vocabulary
        assert given is not None
        listed = isinstance(given, Iterable) and not isinstance(given, (str, bytes))
        self._check(listed, "`vocabulary` must be a list", vocabulary=given)
        self._check(None not in list(given), "`vocabulary` must not hold None", vocabulary=given)
        values = tuple(self.convert(list(given)).tolist())
        repeated = [value for value, count in Counter(values).items() if count > 1][:5]
        self._check(not repeated, "`vocabulary` must not repeat a value", repeated=repeated)
        self._check(self.reserved not in values, "A value of `vocabulary` is reserved", value=self.reserved)
        return values

    @property
    def is_fitted(self) -> bool:
        return self.vocabulary is not None

    def fit(self, values: np.ndarray) -> "Vocabulary":
        if self.vocabulary is not None:
            return self
        counts = self.count_values(values)
        kept = (value for value, count in counts.items() if count >= self.min_count)
        vocabulary = sorted(value for value in kept if value not in (self.missing, self.reserved))
        return dataclasses.replace(self, vocabulary=tuple(vocabulary))

    def count_values(self, values: np.ndarray) -> dict[Any, int]:
        """Returns how often each of the converted `values` occurs."""
        raise NotImplementedError

    @property
    def num_ids(self) -> int:
        if self.vocabulary is None:
            raise ValueError(
                f"Feature {self.name!r} is not fitted: call `schema.fit(columns)` first. "
                "Received: vocabulary=None"
            )
        return 1 + len(self.vocabulary)

    def count(self, values: np.ndarray) -> Counts:
        if self.vocabulary is None:
            return super().count(values)
        known = set(self.vocabulary)
        outside = {value: count for value, count in self.count_values(values).items() if value not in known}
        missing = outside.pop(self.missing, 0)
        return {"missing": missing, "unknown": sum(outside.values())}


@dataclasses.dataclass(frozen=True)
class Hashed(Category):
    """A category hashed into a fixed number of rows. Use one of the subclasses."""

    num_bins: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_count("num_bins", minimum=2)

    @property
    def num_ids(self) -> int:
        return self.num_bins


@dataclasses.dataclass(frozen=True)
class IntegerCategory(Vocabulary):
    """An int64 id with a vocabulary; out-of-vocabulary ids share one row.

    Args:
        name: Name of the column and of the served tensor.
        dim: Width of the embedding. Defaults to `16`.
        vocabulary: Known ids. `None`, the default, takes them from the rows of `fit`, except -1, the
            missing id.
        min_count: Minimum number of rows per id; rarer ids are unknown. Defaults to `1`.
        table: Name of an embedding table that other features share, vocabulary included; they must
            agree on all but their names. `None`, the default, creates a separate table.
        side: `"user"` or `"candidate"`, as for `Feature`. Defaults to `"candidate"`.
        default: Id for requests that omit it. Defaults to `None`: requests must have it.
    """

    kind: ClassVar[str] = "integer_category"
    dtype: ClassVar[str] = "int64"
    missing: ClassVar[int] = MISSING_INTEGER
    reserved: ClassVar[int] = RESERVED_INTEGER

    def count_values(self, values: np.ndarray) -> dict[Any, int]:
        distinct, counts = np.unique(np.asarray(values, np.int64), return_counts=True)
        return dict(zip(distinct.tolist(), counts.tolist(), strict=True))


@dataclasses.dataclass(frozen=True)
class StringCategory(Vocabulary):
    """A string with a vocabulary; out-of-vocabulary strings share one row.

    Args:
        name: Name of the column and of the served tensor.
        dim: Width of the embedding. Defaults to `16`.
        vocabulary: Known strings. `None`, the default, takes them from the rows of `fit`, except `""`, the
            missing string.
        min_count: Minimum number of rows per string; rarer strings are unknown. Defaults to `1`.
        table: As for `IntegerCategory`. Defaults to `None`.
        side: `"user"` or `"candidate"`, as for `Feature`. Defaults to `"candidate"`.
        default: String for requests that omit it. Defaults to `None`: requests must have it.
    """

    kind: ClassVar[str] = "string_category"
    dtype: ClassVar[str] = "string"
    missing: ClassVar[str] = MISSING_STRING
    reserved: ClassVar[str] = RESERVED_STRING

    def count_values(self, values: np.ndarray) -> dict[Any, int]:
        # No NumPy string arrays: they reserve the longest length per string and lose trailing NULs.
        return Counter(np.asarray(values, object).tolist())


@dataclasses.dataclass(frozen=True)
class HashedInteger(Hashed):
    """An int64 id hashed into a fixed number of rows: without a vocabulary, but with collisions.

    Args:
        name: Name of the column and of the served tensor.
        dim: Width of the embedding. Defaults to `16`.
        num_bins: Rows of the embedding table. Defaults to `1024`.
        table: As for `IntegerCategory`. Defaults to `None`.
        side: `"user"` or `"candidate"`, as for `Feature`. Defaults to `"candidate"`.
        default: Id for requests that omit it. Defaults to `None`: requests must have it.
    """

    kind: ClassVar[str] = "hashed_integer"
    dtype: ClassVar[str] = "int64"
    missing: ClassVar[int] = MISSING_INTEGER


@dataclasses.dataclass(frozen=True)
class HashedString(Hashed):
    """A string hashed into a fixed number of rows: without a vocabulary, but with collisions.

    Args:
        name: Name of the column and of the served tensor.
        dim: Width of the embedding. Defaults to `16`.
        num_bins: Rows of the embedding table. Defaults to `1024`.
        table: As for `IntegerCategory`. Defaults to `None`.
        side: `"user"` or `"candidate"`, as for `Feature`. Defaults to `"candidate"`.
        default: String for requests that omit it. Defaults to `None`: requests must have it.
    """

    kind: ClassVar[str] = "hashed_string"
    dtype: ClassVar[str] = "string"
    missing: ClassVar[str] = MISSING_STRING
