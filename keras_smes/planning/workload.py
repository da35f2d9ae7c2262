"""The sizes of a model, which need not exist yet."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_smes.features.schema import FeatureSchema
from keras_smes.features.sequences import MultiValued
from keras_smes.routing import union_bound
from keras_smes.training.config import RunConfig
from keras_smes.validation import check_count, check_counts, check_one_of, check_picks, check_weight

# Slots per parameter, for weights other than tables.
SLOTS = {"adam": 2, "adamw": 2, "adagrad": 1, "sgd": 0}
# Slots of tables, per number and per row.
ROW_SLOTS = {"lazy_adam": (2, 0), "rowwise_adagrad": (0, 1), "sgd": (0, 0)}
ADDED = ("router_rank", "num_always")  # options of experts that change what a layer costs


@dataclasses.dataclass(frozen=True)
class Lookup:
    """A feature with an embedding table.

    Args:
        name: Name of the feature.
        rows: Rows of its table.
        dim: Width of the embedding.
        values: Ids per instance, such as the length of a history, whose vectors are pooled. Defaults to `1`.
        table: Name of the table, if features share it; its rows are counted once. Defaults to `None`, a
            separate table.
        length: Whether a request has a length beside the ids. Defaults to `False`.
    """

    name: str
    rows: int
    dim: int
    values: int = 1
    table: str | None = None
    length: bool = False

    def __post_init__(self) -> None:
        for field in ("rows", "dim", "values"):
            check_count(field, getattr(self, field))


@dataclasses.dataclass(frozen=True)
class Workload:
    """An SMES ranker, its batch and its requests.

    Args:
        lookups: The `Lookup`s.
        numbers: Numeric features per instance. Defaults to `0`.
        tasks: Number of tasks T. Defaults to `3`.
        encoder_units: Widths of the encoder's layers; the last is D. Defaults to `(128,)`.
        num_experts: E. Defaults to `16`.
        num_shared: K_s. Defaults to `2`.
        num_private: K_a, one number or one per task. Defaults to `1`.
        expert_units: Widths of an expert's layers. Defaults to `(64, 32)`.
        tower_units: Widths of a tower's hidden layers. Defaults to `(16,)`.
        optimizer: As in `OptimizerConfig`. Defaults to `"adam"`.
        embedding_optimizer: As in `OptimizerConfig`. Defaults to `"lazy_adam"`.
        batch_size: Instances per step over all workers. Defaults to `512`.
        candidates: Instances per request. Defaults to `500`.
        distinct: Share of distinct rows among a batch's lookups: at most 1, less where ids repeat. Defaults
            to `1.0`.
    """

    lookups: Sequence[Lookup]
    numbers: int = 0
    tasks: int = 3
    encoder_units: Sequence[int] = (128,)
    num_experts: int = 16
    num_shared: int = 2
    num_private: int | Sequence[int] = 1
    expert_units: Sequence[int] = (64, 32)
    tower_units: Sequence[int] = (16,)
    optimizer: str = "adam"
    embedding_optimizer: str = "lazy_adam"
    batch_size: int = 512
    candidates: int = 500
    distinct: float = 1.0

    def __post_init__(self) -> None:
        for field in ("tasks", "num_experts", "batch_size", "candidates"):
            check_count(field, getattr(self, field))
        check_counts("encoder_units", self.encoder_units)
        check_counts("expert_units", self.expert_units)
        check_one_of("optimizer", self.optimizer, SLOTS)
        check_one_of("embedding_optimizer", self.embedding_optimizer, ROW_SLOTS)
        if not 0 < check_weight("distinct", self.distinct) <= 1:
            raise ValueError(f"`distinct` must be in (0, 1]. Received: distinct={self.distinct}")
        check_picks(self.num_experts, self.num_shared, self.privates)

    @classmethod
    def of_run(cls, schema: FeatureSchema, config: RunConfig, tasks: int, **more: Any) -> "Workload":
        """Returns the workload of a run of model `"smes"`, without crosses and others that have no formula.

        Args:
            schema: Its fitted features.
            config: Its configuration.
            tasks: Number of tasks, each with a tower of one output.
            **more: Fields that a run doesn't hold, such as `candidates`.

        Raises:
            ValueError: The model is not `"smes"`, or has crosses, attention or options of `ADDED`, which have
                no formula.
        """
        features: Sequence[Any] = schema.features
        attention = any(getattr(feature, "pooling", None) == "attention" for feature in features)
        more_options = {name: config.experts[name] for name in ADDED if config.experts.get(name)}
        encoder = config.encoder
        if config.model != "smes" or encoder.crosses or encoder.batch_norm or attention or more_options:
            raise ValueError(
                "A plan is for model 'smes' without crosses, batch_norm, attention, "
                f"{' and '.join(ADDED)}. Received: model={config.model!r}, crosses={encoder.crosses}, "
                f"batch_norm={encoder.batch_norm}, attention={attention}, experts={more_options}"
            )
        lookups = [_lookup(feature) for feature in features if feature.table_name is not None]
        names = ("num_experts", "num_shared", "num_private", "expert_units")
        return cls(
            lookups,
            sum(feature.table_name is None for feature in features),
            tasks,
            config.encoder.units,
            **{name: config.experts[name] for name in names},
            tower_units=config.tower_units,
            optimizer=config.optimizer.name,
            embedding_optimizer=config.optimizer.embeddings,
            **{"batch_size": config.training.batch_size, **more},
        )

    @property
    def privates(self) -> tuple[int, ...]:
        """K_a per task."""
        if isinstance(self.num_private, int):
            return (self.num_private,) * self.tasks
        return tuple(self.num_private)

    @property
    def executed(self) -> int:
        """The bound on the experts that an instance executes, |U|."""
        return union_bound(self.num_experts, self.num_shared, self.privates)

    @property
    def width(self) -> int:
        """Width of the concatenated features."""
        return sum(lookup.dim for lookup in self.lookups) + self.numbers

    @property
    def tables(self) -> dict[str, Lookup]:
        """One lookup per table."""
        return {lookup.table or lookup.name: lookup for lookup in self.lookups}


def _lookup(feature: Any) -> Lookup:
    has_many = isinstance(feature, MultiValued)
    values = feature.max_length if has_many else 1
    return Lookup(feature.name, feature.num_ids, feature.dim, values, feature.table_name, has_many)
