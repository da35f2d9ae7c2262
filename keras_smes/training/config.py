"""Configuration of a run: data, model and training as one value, stored as JSON."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_smes.baselines import build_experts, model_options
from keras_smes.baselines.registry import model_layer
from keras_smes.configuration.document import Document
from keras_smes.configuration.structure import check_options, structure
from keras_smes.data import Interactions, SplitConfig, StoredInteractions, check_data_options, load_rows
from keras_smes.data.loading import is_log
from keras_smes.data.log.declaration import bytes_of_memory
from keras_smes.distribution import DistributionConfig
from keras_smes.training.loop.selection import EarlyStopping, MetricOfTask
from keras_smes.validation import check_count, check_counts, check_one_of, check_positive, check_weight

OPTIMIZERS = ("adam", "adamw", "adagrad", "sgd")
EMBEDDING_OPTIMIZERS = ("lazy_adam", "rowwise_adagrad", "sgd")
SCHEDULES = ("cosine", "constant")
LOSS_BALANCES = ("fixed", "uncertainty", "dwa", "gradnorm", "pcgrad")
# Of a log by default: the smallest and the largest batch; between them an epoch has at least so many steps.
BATCH_SIZES, STEPS = (16, 512), 250
DTYPE_POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
# Options for which a model's layer has no default. HoME's groups of tasks depend on the tasks.
USUAL_OPTIONS: Mapping[str, Any] = {
    "num_experts": 16,
    "num_shared": 2,
    "num_private": 1,
    "num_picks": 3,
    "num_task_experts": 4,
    "num_shared_experts": 4,
    "expert_units": (64, 32),
}


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """Encoder from features to `h`.

    Args:
        units: Widths of the encoder's layers. Defaults to `(128,)`.
        crosses: Depth of the cross network; above 0 it needs the extra `ranking`. Defaults to `0`.
        cross_dim: Rank of the crosses' matrices. Defaults to `None`, full.
        batch_norm: Whether h is batch-normalised. Such a ranker can't grow by experts. Defaults to `False`.
    """

    units: Sequence[int] = (128,)
    crosses: int = 0
    cross_dim: int | None = None
    batch_norm: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", check_counts("units", self.units) if self.units else ())
        check_count("crosses", self.crosses, minimum=0)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimizers. Embedding tables have a separate one, which updates only the rows of a batch.

    Args:
        name: `"adam"`, `"adamw"`, `"adagrad"` or `"sgd"`, for all weights except embeddings. Defaults to
            `"adam"`.
        learning_rate: Its learning rate after warm-up. Defaults to `0.002`.
        embeddings: `"lazy_adam"`, `"rowwise_adagrad"` or `"sgd"`. Defaults to `"lazy_adam"`.
        embedding_learning_rate: Learning rate of embeddings. Defaults to `None`, `learning_rate`.
        schedule: `"cosine"`, which decays to zero at the last step, or `"constant"`. Defaults to `"cosine"`.
        warmup_steps: Steps of linear warm-up from zero. Defaults to `0`.
    """

    name: str = "adam"
    learning_rate: float = 2e-3
    embeddings: str = "lazy_adam"
    embedding_learning_rate: float | None = None
    schedule: str = "cosine"
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        check_one_of("name", self.name, OPTIMIZERS)
        check_one_of("embeddings", self.embeddings, EMBEDDING_OPTIMIZERS)
        check_one_of("schedule", self.schedule, SCHEDULES)
        check_positive("learning_rate", self.learning_rate)
        if self.embedding_learning_rate is not None:
            check_positive("embedding_learning_rate", self.embedding_learning_rate)
        check_count("warmup_steps", self.warmup_steps, minimum=0)


@dataclasses.dataclass(frozen=True)
class ValidationConfig:
    """Training rows held out for validation after each epoch: always the last by time.

    Args:
        days: Number of days to hold out. Defaults to `None`.
        fraction: Share of the training rows to hold out instead, between 0 and 1. Rounded to whole days if
            there is more than one day. Defaults to `None`.
    """

    days: int | None = None
    fraction: float | None = None

    def __post_init__(self) -> None:
        if (self.days is None) == (self.fraction is None):
            raise ValueError(
                f"`validation` takes either `days` or `fraction`. Received: days={self.days}, "
                f"fraction={self.fraction}"
            )
        if self.days is not None:
            check_count("days", self.days)
        elif not 0 < check_weight("fraction", self.fraction) < 1:
            raise ValueError(f"`fraction` must be between 0 and 1. Received: fraction={self.fraction}")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Training options.

    Args:
        epochs: Passes over the training rows. Defaults to `2`.
        batch_size: Rows per step. Defaults to `None`: 512, for a declared log as in `RunConfig.for_rows`.
        loss_balance: How task losses are combined: `"fixed"`, `"uncertainty"`, `"dwa"`, `"gradnorm"` or
            `"pcgrad"`, see `keras_smes.losses`. Each loss is first multiplied by its task's weight.
            Defaults to `"fixed"`, the sum.
        loss_balance_options: Its options, such as `{"temperature": 1.0}` for `"dwa"`. Defaults to none.
        dtype_policy: `"float32"`, `"mixed_bfloat16"` or `"mixed_float16"`, which scales the loss. Routers,
            losses and optimizers always compute in float32. Defaults to `"float32"`.
        steps_per_execution: Steps between two checks for progress and checkpoints. Defaults to `16`.
        jit_compile: Whether XLA compiles the step. Defaults to `False`, which is faster on a CPU.
        validation: A `ValidationConfig`. Defaults to `None`, no rows are held out.
        early_stopping: An `EarlyStopping` on those rows. Defaults to `None`, all epochs run.
        select: A `MetricOfTask`: the weights of its best epoch are kept. Defaults to `None`, the last epoch.
        monitor_rows: Rows whose routing is measured after each epoch, see `RoutingMonitor`: held-out rows
            if there are any. `0` measures none. Defaults to `2048`.
    """

    epochs: int = 2
    batch_size: int | None = None
    loss_balance: str = "fixed"
    loss_balance_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dtype_policy: str = "float32"
    steps_per_execution: int = 16
    jit_compile: bool = False
    validation: ValidationConfig | None = None
    early_stopping: EarlyStopping | None = None
    select: MetricOfTask | None = None
    monitor_rows: int = 2048

    def __post_init__(self) -> None:
        check_count("monitor_rows", self.monitor_rows, minimum=0)
        for name in ("epochs", "steps_per_execution"):
            check_count(name, getattr(self, name))
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size)
        check_one_of("loss_balance", self.loss_balance, LOSS_BALANCES)
        check_one_of("dtype_policy", self.dtype_policy, DTYPE_POLICIES)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Configuration of a training run.

    Args:
        data: Name of the data set.
        data_options: Options of its loader, such as `{"rows": 10000}` for the simulator, or `{"tasks":
            ["click", "follow"]}` for KuaiRand. Defaults to none.
        split: A `SplitConfig`: the training and test rows. Defaults to the data set's own split.
        model: `"smes"`, or the name of a baseline, see `keras_smes.baselines`. Defaults to `"smes"`.
        experts: Options of the model's layer. Missing ones take the layer's defaults or those of
            `USUAL_OPTIONS`. Defaults to none.
        encoder: An `EncoderConfig`.
        tower_units: Widths of each tower's hidden layers. Defaults to `(16,)`.
        optimizer: An `OptimizerConfig`.
        training: A `TrainingConfig`.
        distribution: A `DistributionConfig`: the devices and processes.
        seed: Seed of the weights and of the order of rows. Defaults to `0`.
        memory: Bytes that the rows of a log may take in memory, or text such as `"4GB"`. More rows stay on
            disk, with the same results. Defaults to `None`, the log's own bound.

    Example:

    >>> config = RunConfig("simulated", experts={"num_experts": 32}, training=TrainingConfig(epochs=1))
    >>> config.experts["num_shared"]
    2
    """

    data: str
    data_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    model: str = "smes"
    experts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    tower_units: Sequence[int] = (16,)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    distribution: DistributionConfig = dataclasses.field(default_factory=DistributionConfig)
    seed: int = 0
    memory: int | str | None = None

    def __post_init__(self) -> None:
        check_count("seed", self.seed, minimum=0)
        if self.memory is not None:
            bytes_of_memory(self.memory)
        if self.split.test_files:
            raise ValueError(
                "`split.test_files` must stand in the YAML of a log, as its paths are relative to that file. "
                f"Received: split.test_files={self.split.test_files}"
            )
        object.__setattr__(self, "tower_units", check_counts("tower_units", self.tower_units))
        known = model_options(self.model)
        if unknown := sorted(set(self.experts) - set(known)):
            raise ValueError(
                f"`experts` of model {self.model!r} must be among {list(known)}. Received: unknown={unknown}"
            )
        usual = {name: USUAL_OPTIONS[name] for name, must in known.items() if must and name in USUAL_OPTIONS}
        object.__setattr__(self, "experts", _plain({**usual, **self.experts}))
        if not is_log(self.data):
            size = self.training.batch_size or BATCH_SIZES[1]
            object.__setattr__(self, "training", dataclasses.replace(self.training, batch_size=size))

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Returns the configuration from JSON values.

        Raises:
            ValueError: A key is unknown or its value has the wrong type; the message names the key.
        """
        config: RunConfig = structure(values, cls)
        check_data_options(config.data, config.data_options)
        check_options("experts", config.experts, [model_layer(config.model)], ["num_tasks"])
        return config

    @classmethod
    def read(cls, path: str | Path) -> "RunConfig":
        """Reads a JSON or YAML file; errors name its line too."""
        document = Document.read(path)
        with document.errors():
            return cls.from_dict(document.values)

    def batch_size(self, rows: int) -> int:
        """Returns the rows per step of so many training rows."""
        size = 2 ** (max(rows // STEPS, 1).bit_length() - 1)
        return self.training.batch_size or min(max(size, BATCH_SIZES[0]), BATCH_SIZES[1])

    def for_rows(self, rows: int) -> "RunConfig":
        """Returns the configuration with a batch size: by default that of so many training rows.

        ```
        batch_size = 2^floor(log2(rows / 250)), at least 16 and at most 512
        ```

        A small log then learns in as many steps as a larger one.

        Example:

        >>> RunConfig("log.yaml").for_rows(5_600).training.batch_size
        16
        """
        training = dataclasses.replace(self.training, batch_size=self.batch_size(rows))
        return dataclasses.replace(self, training=training)

    def load(self, folder: str | Path | None = None) -> Interactions | StoredInteractions:
        """Reads the rows of `data` with `load_rows`, from files in `folder`."""
        return load_rows(self.data, folder, split=self.split, memory=self.memory, **self.data_options)

    def build_experts(self, num_tasks: int) -> keras.layers.Layer:
        """Builds the configured layer of experts."""
        return build_experts(self.model, num_tasks, self.experts)


def merged(values: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `values` updated with `change`, mappings recursively."""
    result = dict(values)
    for key, new in change.items():
        old = result.get(key)
        result[key] = merged(old, new) if isinstance(old, Mapping) and isinstance(new, Mapping) else new
    return result


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Returns the dotted names of the keys in which two configurations differ."""
    differing = []
    for key in dict.fromkeys([*one, *other]):
        here, there = one.get(key), other.get(key)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            differing += differing_keys(here, there, f"{prefix}{key}.")
        elif here != there or (key in one) != (key in other):
            differing.append(f"{prefix}{key}")
    return differing


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(own) for key, own in value.items()}
    if isinstance(value, datetime.date):
        return value.isoformat()
    return [_plain(own) for own in value] if isinstance(value, list | tuple) else value
