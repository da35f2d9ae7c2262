"""Serialisation of features as plain values and as YAML, with validation of kinds and keys."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_smes.configuration.document import YAML, Document, import_yaml
from keras_smes.configuration.kinds import config_of_kind, made_of_kind
from keras_smes.features.categories import HashedInteger, HashedString, IntegerCategory, StringCategory
from keras_smes.features.feature import Feature
from keras_smes.features.numbers import Number
from keras_smes.features.sequences import Sequence, Tags

KINDS: dict[str, type[Feature]] = {
    cls.kind: cls
    for cls in (IntegerCategory, StringCategory, HashedInteger, HashedString, Number, Tags, Sequence)
}


def feature_to_config(feature: Feature) -> dict[str, Any]:
    """Returns the feature as JSON values."""
    return config_of_kind(feature)


def feature_from_config(config: Mapping[str, Any]) -> Feature:
    """Returns the feature of a `feature_to_config`; omitted fields have their defaults."""
    made: Feature = made_of_kind("feature", config, KINDS)
    return made


def features_to_yaml(features: Iterable[Feature]) -> str:
    """Returns the features as YAML, without default values."""
    entries = []
    for feature in features:
        config, usual = (feature_to_config(f) for f in (feature, type(feature)(feature.name)))
        kept = {key: value for key, value in config.items() if key in ("kind", "name") or value != usual[key]}
        entries.append(kept)
    return str(import_yaml().safe_dump({"features": entries}, sort_keys=False, allow_unicode=True))


def features_from_yaml(source: str | Path) -> tuple[Feature, ...]:
    """Returns the features of a YAML file or text. See `FeatureSchema.from_yaml`."""
    is_file = isinstance(source, Path) or ("\n" not in source and source.endswith(YAML))
    document = Document.read(source) if is_file else Document(str(source), "`source`")
    if unknown := sorted(str(key) for key in document.values if key != "features"):
        raise ValueError(f"`source` must hold `features` only. Received: unknown={unknown}")
    entries = document.values.get("features")
    if not isinstance(entries, list):
        raise ValueError(f"`source` must be a mapping with a list `features`. Received: {type(entries)}")
    made = []
    for place, entry in enumerate(entries):
        with document.at("features", place):
            made.append(feature_from_config(entry))
    return tuple(made)
