"""Configuration of an experiment: data, split, models, trials, seeds."""

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_smes.configuration.document import ConfigError, Document
from keras_smes.configuration.structure import check_typed, structure
from keras_smes.data.split_config import SplitConfig
from keras_smes.distribution import DistributionConfig
from keras_smes.training.config import RunConfig, merged
from keras_smes.validation import check_counts, check_one_of

SPLIT = tuple(field.name for field in dataclasses.fields(SplitConfig))


class Planned(NamedTuple):
    """A run of an experiment."""

    label: str  # of its row: the model's, with the trial's behind a slash if there are trials
    config: RunConfig
    stated: Mapping[str, Any]  # by the experiment, data and split too, without defaults, as JSON values

    @property
    def key(self) -> str:
        """A digest of the stated values, which identifies a finished run."""
        return hashlib.sha256(json.dumps(self.stated, sort_keys=True).encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Models x seeds on one split of one data set.

    Args:
        name: Name of the experiment, and of the folder of its results.
        question: The question that it answers, in a sentence.
        data: Name of the data set.
        models: `RunConfig` values by label, such as `{"mmoe": {"model": "mmoe"}}`; data and seed aside.
        seeds: Seeds; every model is trained once with each.
        reference: Label of the row that the others are compared with. Defaults to `None`, the first one.
        data_options: Options of the data set's loader. Defaults to none.
        split: Values of `SplitConfig`. Defaults to none: the data set's usual split.
        common: `RunConfig` values of all models, which a model's own override key by key. Defaults to none.
        trials: `RunConfig` values by label, each tried with every model, so that all get as many. They
            override the model's. Defaults to none.
        candidates: Rows of a request whose latency is measured. Defaults to `500`.

    Example:

    >>> models = {"smes": {}, "mmoe": {"model": "mmoe"}}
    >>> experiment = Experiment("small", "Which one?", "simulated", models, seeds=[0, 1])
    >>> [planned.label for planned in experiment.runs()]
    ['smes', 'mmoe', 'smes', 'mmoe']
    """

    name: str
    question: str
    data: str
    models: Mapping[str, Mapping[str, Any] | None]
    seeds: Sequence[int]
    reference: str | None = None
    data_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    split: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    common: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    trials: Mapping[str, Mapping[str, Any] | None] = dataclasses.field(default_factory=dict)
    candidates: int = 500

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            check_typed(field.name, getattr(self, field.name), hints[field.name])
        check_counts("candidates", [self.candidates])
        seeds = check_counts("seeds", self.seeds, minimum=0)
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"`seeds` must be different. Received: seeds={list(seeds)}")
        if not isinstance(self.models, Mapping) or not self.models:
            raise ValueError(f"`models` must name one model or more. Received: models={self.models!r}")
        if unknown := sorted(set(self.split) - set(SPLIT)):
            raise ValueError(f"`split` must be among {list(SPLIT)}. Received: unknown={unknown}")
        object.__setattr__(self, "split", SplitConfig(**self.split).given())
        reference = self.labels[0] if self.reference is None else self.reference
        check_one_of("reference", reference, self.labels)
        object.__setattr__(self, "reference", reference)
        self.runs()  # rejects invalid configurations

    @property
    def labels(self) -> list[str]:
        """The rows of the table."""
        return [label for label, _ in self._rows()]

    def runs(self) -> list[Planned]:
        """Returns all runs, a seed after the other."""
        return [self._planned(label, values, seed) for seed in self.seeds for label, values in self._rows()]

    def to_dict(self) -> dict[str, Any]:
        """Returns the experiment as JSON values."""
        values: dict[str, Any] = plain(dataclasses.asdict(self))
        return values

    @classmethod
    def read(cls, path: str | Path) -> "Experiment":
        """Returns the experiment of a YAML or JSON file, named as the file; unknown keys are rejected."""
        document = Document.read(path)
        with document.errors():
            experiment: Experiment = structure({"name": Path(path).stem, **document.values}, cls)
            return experiment

    def _rows(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (f"{label}/{trial}" if trial else label, merged(merged(self.common, own or {}), change or {}))
            for label, own in self.models.items()
            for trial, change in (self.trials or {"": {}}).items()
        ]

    def _planned(self, label: str, values: Mapping[str, Any], seed: int) -> Planned:
        if given := sorted({"data", "data_options", "split", "seed"} & set(values)):
            raise ValueError(f"`models` must leave {given} to the experiment. Received: model {label!r}")
        whole = {"data": self.data, "data_options": self.data_options, **values, "seed": seed}
        stated = plain({**whole, "split": self.split})
        return Planned(label, _config(label, stated), stated)


def _config(label: str, values: Mapping[str, Any]) -> RunConfig:
    try:
        config = RunConfig.from_dict(values)
    except ConfigError as error:
        model, _, trial = label.partition("/")
        above = (("trials", trial), ("models", model), ("common",), ())
        keys = ((*place, *key) for key in error.keys for place in above)
        raise ConfigError(f"model {label!r}: {error}", *keys) from None
    for name in ("validation", "select", "early_stopping"):
        if getattr(config.training, name) is not None:
            raise ValueError(
                f"`training.{name}` is not for experiments, whose runs hold no rows out and have all epochs: "
                f"make `split` end before the test days. Received: model {label!r}"
            )
    if config.distribution != DistributionConfig():
        raise ValueError(
            "`distribution` is not for experiments, which run on one device. "
            f"Received: model {label!r}, {config.distribution}"
        )
    return config


def plain(values: Any) -> Any:
    """Returns values as JSON has them, dates as text."""
    return json.loads(json.dumps(values, default=str))
