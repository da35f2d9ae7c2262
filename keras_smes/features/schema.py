"""The schema of a row: names, types and fitted state of a ranker's raw features.

A schema depends on NumPy only, not on models, tables or data sets. It is declared without state
(`IntegerCategory("user_id")`), fitted on training rows (`schema.fit(columns)`), stored as JSON in a run's
configuration or as YAML, and converted to Keras layers by `keras_smes.features.encoder`.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_smes.features.categories import (
    Category,
    HashedInteger,
    HashedString,
    IntegerCategory,
    StringCategory,
)
from keras_smes.features.config import (
    feature_from_config,
    feature_to_config,
    features_from_yaml,
    features_to_yaml,
)
from keras_smes.features.embedding_tables import check_tables, tables
from keras_smes.features.feature import Columns, Counts, Feature, InputSpecs
from keras_smes.features.layer_names import check_layer_names
from keras_smes.features.numbers import Number
from keras_smes.features.raw.columns import prepare_columns
from keras_smes.features.raw.conversion import MISSING_INTEGER, MISSING_STRING
from keras_smes.features.raw.frames import as_columns
from keras_smes.features.sequences import Sequence, Tags
from keras_smes.validation import check_name

__all__ = [
    "MISSING_INTEGER",
    "MISSING_STRING",
    "Columns",
    "Counts",
    "Feature",
    "FeatureSchema",
    "HashedInteger",
    "HashedString",
    "IntegerCategory",
    "Number",
    "Sequence",
    "StringCategory",
    "Tags",
    "check_name",
]


@dataclasses.dataclass(frozen=True)
class FeatureSchema:
    """The raw features of a model, in order.

    Args:
        features: The features, with unique names, which also differ from the `NAME_length` of a `Tags` or
            `Sequence` and from a ranker's layers, such as `scores` or `core`.

    Raises:
        ValueError: A name is not unique or is that of a layer, features of one `table` differ in more than
            their names, or the `target` of a `Sequence` is missing.

    Example:

    >>> schema = FeatureSchema((IntegerCategory("user_id", dim=8), Number("age")))
    >>> schema = schema.fit({"user_id": np.array([7, 9, 7]), "age": np.array([20.0, 30.0, 40.0])})
    >>> schema["user_id"].vocabulary
    (7, 9)
    """

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))
        names = [name for feature in self.features for name in feature.input_specs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated or not names:
            raise ValueError(
                f"`features` must have unique names, and not be empty. Received: repeated={repeated}"
            )
        check_tables(self.features)
        check_layer_names(self.features)
        for feature in self.features:
            if isinstance(feature, Sequence) and feature.target is not None:
                self._check_target(feature)

    def _check_target(self, sequence: Sequence) -> None:
        target = next((feature for feature in self.features if feature.name == sequence.target), None)
        fits = isinstance(target, Category) and target.side == "candidate" and target.dim == sequence.dim
        if not fits:
            raise ValueError(
                f"`target` must be a category of the candidate with the sequence's dim={sequence.dim}. "
                f"Received: target={sequence.target!r} (feature {sequence.name!r})"
            )

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @property
    def input_specs(self) -> InputSpecs:
        """The raw inputs by name, each with its shape (without batch) and its dtype."""
        return {name: spec for feature in self.features for name, spec in feature.input_specs.items()}

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(f"No feature is named {name!r}, of {self.names}")

    @property
    def is_fitted(self) -> bool:
        return all(feature.is_fitted for feature in self.features)

    def fit(self, columns: Columns) -> "FeatureSchema":
        """Returns the schema with the vocabularies, moments and quantiles of the training rows.

        Features of one table are fitted jointly on all their values.

        Args:
            columns: As for `prepare_columns`; other columns are ignored.

        Raises:
            ValueError: As for `prepare_columns`.
        """
        given = as_columns(columns)
        known = {name: given[name] for name in self.input_specs if name in given}
        prepared, _ = self.prepare_columns(known)
        observed = {feature.name: feature.observed(prepared) for feature in self.features}
        for members in tables(self.features).values():
            joined = np.concatenate([observed[feature.name] for feature in members])
            observed |= {feature.name: joined for feature in members}
        return FeatureSchema(tuple(feature.fit(observed[feature.name]) for feature in self.features))

    def prepare_columns(self, columns: Columns) -> tuple[dict[str, np.ndarray], dict[str, Counts]]:
        """Converts raw columns to a model's typed arrays, and counts unusual values.

        - An id may be a float if it is whole and exact; `None` and NaN become -1. Counted: `missing` (-1),
          and `unknown` (outside of a fitted vocabulary).
        - A string may be bytes in UTF-8; `None` becomes `""`. Counted: `missing` (`""`), `unknown`.
        - A number may have any real type and becomes float32; `None` becomes NaN. Counted: `missing` (NaN),
          `infinite` (also what is beyond float32).
        - `Tags` and `Sequence` are lists of ids or strings, or an array `[N, L]` beside `NAME_length [N]`;
          positions beyond a length are ignored. Counted: `truncated` rows, those longer than
          `max_length` (a `Sequence` keeps its last values, `Tags` their first), `empty` rows, `clamped`
          lengths (below 0 or above L), and `missing` and `unknown` among all values.

        The model handles all counted values: missing and unknown ids by row 0 of the vocabulary, a missing or
        infinite number by the mean, or by its own bucket.

        Args:
            columns: Exactly one column per feature: a dict of NumPy arrays, lists or series of `N` rows; or
                a data frame of polars or pandas.

        Returns:
            The raw inputs by name: `[N]`, or `[N, max_length]` and lengths; and the
            counts by feature, with `rows`.

        Raises:
            ValueError: A column is missing or unknown; has other types than declared (strings for
                numbers, fractions for ids); ids are beyond int64; columns differ in length.

        Example:

        >>> schema = FeatureSchema((Sequence("history", max_length=2),))
        >>> arrays, counts = schema.prepare_columns({"history": [[5], [6, 7, 8]]})
        >>> arrays["history"].tolist(), counts["history"]["truncated"]
        ([[5, 0], [7, 8]], 1)
        """
        return prepare_columns(self.features, columns)

    def check_columns(self, columns: Columns) -> dict[str, Counts]:
        """Validates columns like `prepare_columns`, and returns its counts."""
        return self.prepare_columns(columns)[1]

    def to_config(self) -> list[dict[str, Any]]:
        """Returns the schema as JSON values."""
        return [feature_to_config(feature) for feature in self.features]

    @classmethod
    def from_config(cls, config: Iterable[Mapping[str, Any]]) -> "FeatureSchema":
        """Returns the schema of a `to_config()`.

        Raises:
            ValueError: An entry is of an unknown kind or has an unknown key.
        """
        return cls(tuple(feature_from_config(entry) for entry in config))

    def to_yaml(self) -> str:
        """Returns the schema as YAML, without default values. Needs the extra `config`."""
        return features_to_yaml(self.features)

    @classmethod
    def from_yaml(cls, source: str | Path) -> "FeatureSchema":
        """Returns the schema that a YAML file or text declares. Needs the extra `config`.

        Args:
            source: A path or the text. A str of one line that ends in `.yaml` or `.yml` is a path. The
                document is a mapping with one key, `features`: a list of mappings, each with `kind`,
                `name`, and the fields of that kind.

        Raises:
            ValueError: The document is not such a mapping, or an entry has an unknown kind or key.
            ImportError: PyYAML is not installed.

        Example:

        >>> schema = FeatureSchema.from_yaml('''
        ... features:
        ...   - {kind: integer_category, name: user_id, dim: 8, side: user}
        ...   - {kind: number, name: age}
        ... ''')
        >>> schema.names
        ['user_id', 'age']
        """
        return cls(features_from_yaml(source))
