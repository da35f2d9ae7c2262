"""Features with many values per row: unordered tags, and behaviour sequences, newest last."""

import dataclasses
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from keras_smes.features.categories import (
    Category,
    Embedded,
    HashedInteger,
    HashedString,
    IntegerCategory,
    StringCategory,
)
from keras_smes.features.feature import Columns, Counts, InputSpecs
from keras_smes.features.raw.padding import flatten_lists, flatten_padded, is_padded, pad
from keras_smes.validation import check_counts

_WITH_VOCABULARY: dict[str, type[IntegerCategory] | type[StringCategory]] = {
    "integer": IntegerCategory,
    "string": StringCategory,
}
_HASHED: dict[str, type[HashedInteger] | type[HashedString]] = {
    "integer": HashedInteger,
    "string": HashedString,
}


@dataclasses.dataclass(frozen=True)
class MultiValued(Embedded):
    """A category with many values per row, pooled into one vector. Use `Tags` or `Sequence`.

    The raw inputs are `NAME [B, L]`, padded on the right with any value, and `NAME_length [B]`
    int32. Positions beyond the length are ignored. A negative length counts as 0, one above L as L.
    """

    _: dataclasses.KW_ONLY
    items: str = "integer"
    vocabulary: tuple[Any, ...] | None = None
    min_count: int = 1
    num_bins: int | None = None
    max_length: int = 50
    pooling: str = "mean"
    poolings: ClassVar[tuple[str, ...]] = ("mean", "sum")
    keep: ClassVar[str]

    def __post_init__(self) -> None:
        self._check(self.items in _HASHED, f"`items` must be one of {sorted(_HASHED)}", items=self.items)
        self._check_count("max_length")
        super().__post_init__()
        self._check(
            self.pooling in self.poolings, f"`pooling` must be one of {self.poolings}", pooling=self.pooling
        )
        looked_up = self.vocabulary is not None or self.min_count != 1
        rule = "`num_bins` excludes `vocabulary` and `min_count`"
        self._check(self.num_bins is None or not looked_up, rule, num_bins=self.num_bins)
        object.__setattr__(self, "vocabulary", getattr(self.item, "vocabulary", None))

    @cached_property
    def item(self) -> Category:  # type: ignore[override]
        """Category of a single value."""
        shared: dict[str, Any] = {"name": self.name, "dim": self.dim, "table": self.table, "side": self.side}
        if self.num_bins is not None:
            return _HASHED[self.items](**shared, num_bins=self.num_bins)
        return _WITH_VOCABULARY[self.items](**shared, vocabulary=self.vocabulary, min_count=self.min_count)

    @property
    def dtype(self) -> str:
        return self.item.dtype

    @property
    def length_name(self) -> str:
        """Name of the raw input of lengths."""
        return f"{self.name}_length"

    @property
    def input_specs(self) -> InputSpecs:
        return {self.name: ((None,), self.dtype), self.length_name: ((), "int32")}

    @property
    def is_fitted(self) -> bool:
        return self.item.is_fitted

    @property
    def num_ids(self) -> int:
        return self.item.num_ids

    def fit(self, values: np.ndarray) -> "MultiValued":
        return dataclasses.replace(self, vocabulary=getattr(self.item.fit(values), "vocabulary", None))

    def prepare(self, columns: Columns) -> tuple[dict[str, np.ndarray], Counts]:
        """Returns `NAME [N, max_length]` and `NAME_length [N]`, and counts of unusual values.

        The column is a list (or object array) of lists, or an array `[N, L]` beside `NAME_length [N]`. A
        row of more than `max_length` values is `truncated`: a `Sequence` keeps the last, the newest,
        `Tags` keep the first. A length below 0 or above L is `clamped`.
        """
        flat, lengths, clamped = self._flatten(columns)
        values = self.convert(flat)
        padded, kept = pad(values, lengths, self.max_length, self.keep, "" if self.dtype == "string" else 0)
        counts = {"rows": len(lengths), "clamped": clamped, "empty": int(np.sum(lengths == 0))}
        counts["truncated"] = int(np.sum(lengths > self.max_length))
        return {self.name: padded, self.length_name: kept}, {**counts, **self.item.count(values)}

    def _flatten(self, columns: Columns) -> tuple[Any, np.ndarray, int]:
        values, lengths = columns[self.name], columns.get(self.length_name)
        padded = is_padded(values)
        rule = f"An array [N, L] needs {self.length_name!r} beside it, and a list of lists has lengths itself"
        self._check(padded == (lengths is not None), rule, padded=padded, has_length=lengths is not None)
        if padded:
            return flatten_padded(self.name, np.asarray(values), lengths)
        return *flatten_lists(self.name, values), 0

    def observed(self, prepared: Columns) -> np.ndarray:
        return flatten_padded(self.name, prepared[self.name], prepared[self.length_name])[0]

    def _checked_default(self) -> tuple[Any, ...]:
        listed = isinstance(self.default, (list, tuple)) and len(self.default) <= self.max_length
        self._check(listed, "`default` must be a list of at most `max_length` values", default=self.default)
        return tuple(self.convert(list(self.default)).tolist())


@dataclasses.dataclass(frozen=True)
class Tags(MultiValued):
    """A category with many unordered values per row, such as a video's tags.

    Args:
        name: Name of the column and of the served tensor; `NAME_length` holds the lengths.
        dim: Width of the embedding. Defaults to `16`.
        items: `"integer"` (int64) or `"string"`. Defaults to `"integer"`.
        vocabulary: Known values. `None`, the default, takes them from the rows of `fit`.
        min_count: Minimum number of occurrences in those rows; rarer values are unknown. Defaults
            to `1`.
        num_bins: Number of table rows for hashing instead of a vocabulary. Defaults to `None`, a
            vocabulary.
        max_length: Maximum number of values per row; longer rows keep the first. Defaults to `50`.
        pooling: `"mean"` or `"sum"` of the embeddings, zeros for a row without values. Defaults to
            `"mean"`.
        table: Name of an embedding table that other features share, vocabulary included. Defaults to
            `None`, a separate table.
        side: `"user"` or `"candidate"`, as for `Feature`. Defaults to `"candidate"`.
        default: List of values for requests that omit the feature. Defaults to `None`: requests must have
            it.
    """

    kind: ClassVar[str] = "tags"
    keep: ClassVar[str] = "first"


@dataclasses.dataclass(frozen=True)
class Sequence(MultiValued):
    """A behaviour sequence of ids, the newest last, such as the videos a user has watched.

    Args:
        name: Name of the column and of the served tensor; `NAME_length` holds the lengths.
        dim: Width of the embedding. Defaults to `16`.
        items: `"integer"` (int64) or `"string"`. Defaults to `"integer"`.
        vocabulary: Known ids. `None`, the default, takes them from the rows of `fit`.
        min_count: Minimum number of occurrences in those rows; rarer ids are unknown. Defaults to `1`.
        num_bins: Number of table rows for hashing instead of a vocabulary. Defaults to `None`, a vocabulary.
        max_length: Maximum number of ids per row; longer rows keep the last, the newest. Defaults to `50`.
        pooling: `"mean"` or `"sum"` of the embeddings, or `"attention"` from the candidate by
            `TargetAttention`; zeros for a row without ids. Defaults to `"mean"`.
        target: For attention, name of the candidate's feature, of the same `dim`, whose embedding is the
            query. Defaults to `None`.
        attention_units: For attention, widths of the activation unit's hidden layers. Defaults to `(36,)`.
        table: Name of an embedding table that other features share, vocabulary included, such as the
            target's. Defaults to `None`, a separate table.
        side: `"user"` or `"candidate"`, as for `Feature`. Defaults to `"candidate"`.
        default: List of ids for requests that omit the feature. Defaults to `None`: requests must have
            it.
    """

    _: dataclasses.KW_ONLY
    target: str | None = None
    attention_units: tuple[int, ...] = (36,)
    kind: ClassVar[str] = "sequence"
    poolings: ClassVar[tuple[str, ...]] = ("mean", "sum", "attention")
    keep: ClassVar[str] = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        needed = (self.pooling == "attention") == (self.target is not None)
        rule = '`target` goes with `pooling="attention"`'
        self._check(needed, rule, pooling=self.pooling, target=self.target)
        object.__setattr__(self, "attention_units", check_counts("attention_units", self.attention_units))
