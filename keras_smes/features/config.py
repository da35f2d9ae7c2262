"""Features to plain values and back, and the same as YAML: unknown kinds and keys are refused by name."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_smes.features.categories import HashedInteger, HashedString, IntegerCategory, StringCategory
from keras_smes.features.feature import Feature
from keras_smes.features.numbers import Number
from keras_smes.features.sequences import Sequence, Tags

KINDS: dict[str, type[Feature]] = {
    cls.kind: cls
    for cls in (IntegerCategory, StringCategory, HashedInteger, HashedString, Number, Tags, Sequence)
}


def feature_to_config(feature: Feature) -> dict[str, Any]:
    """Returns the feature as plain JSON values."""
    values = {field.name: getattr(feature, field.name) for field in dataclasses.fields(feature)}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {"kind": feature.kind, **plain}


def feature_from_config(config: Mapping[str, Any]) -> Feature:
    """Returns the feature that `feature_to_config` wrote; fields that are left out take their defaults."""
    if not isinstance(config, Mapping):
        raise ValueError(f"`features` must be a list of mappings. Received: {config!r}")
    kind = config.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"`kind` must be one of {sorted(KINDS)}. Received: kind={kind!r}")
    fields = {field.name for field in dataclasses.fields(KINDS[kind])}
    given = {key: value for key, value in config.items() if key != "kind"}
    unknown = sorted(str(key) for key in given if key not in fields)
    if unknown or "name" not in given:
        raise ValueError(
            f"A feature of kind {kind!r} needs `name` and takes {sorted(fields)}. "
            f"Received: name={given.get('name')!r}, unknown={unknown}"
        )
    return KINDS[kind](**given)


def features_to_yaml(features: Iterable[Feature]) -> str:
    """Returns the features as YAML, without the fields that are at their defaults."""
    entries = []
    for feature in features:
        config, usual = (feature_to_config(f) for f in (feature, type(feature)(feature.name)))
        kept = {key: value for key, value in config.items() if key in ("kind", "name") or value != usual[key]}
        entries.append(kept)
    return str(_yaml().safe_dump({"features": entries}, sort_keys=False, allow_unicode=True))


def features_from_yaml(source: str | Path) -> tuple[Feature, ...]:
    """Returns the features of a YAML file or text. See `FeatureSchema.from_yaml`."""
    is_file = isinstance(source, Path) or ("\n" not in source and source.endswith((".yaml", ".yml")))
    text = Path(source).read_text(encoding="utf-8") if is_file else str(source)
    document = _load(text)
    if not isinstance(document, dict) or not isinstance(document.get("features"), list):
        raise ValueError(f"`source` must be a mapping with a list `features`. Received: {type(document)}")
    unknown = sorted(str(key) for key in document if key != "features")
    if unknown:
        raise ValueError(f"`source` must hold `features` only. Received: unknown={unknown}")
    return tuple(feature_from_config(entry) for entry in document["features"])


def _load(text: str) -> Any:
    yaml = _yaml()

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """Refuses a key that is given twice, of which YAML would drop the first without a word."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            keys = [self.construct_object(key, deep=True) for key in own]
            repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
            if repeated:
                raise ValueError(f"Keys must be given once. Received: repeated={repeated}{node.start_mark}")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"`source` must be YAML. Received: {error}") from error


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise ImportError('Schemas as YAML need PyYAML: pip install "keras_smes[config]"') from error
    return yaml
