"""What a run is made of: the data, the model and how it is trained, as one value kept as JSON."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_smes.baselines import MMoE
from keras_smes.checks import check_count, check_counts, check_weight
from keras_smes.layers import SMES

MODELS = ("smes", "mmoe")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Configuration of a training run.

    Args:
        data: Name of the data set.
        data_options: Options of its loader, such as `{"rows": 10000}` for the simulator, or `{"tasks":
            ["click", "follow"]}` for KuaiRand. Defaults to none.
        model: `"smes"`, or the dense baseline `"mmoe"`. Defaults to `"smes"`.
        num_experts: Experts E. Defaults to `16`.
        num_shared: Experts K_s that all tasks of an instance share; for SMES. Defaults to `2`.
        num_private: Experts K_a a task, one number or one a task; for SMES. Defaults to `1`.
        expert_units: Widths of an expert's layers. Defaults to `(64, 32)`.
        encoder_units: Widths of the encoder's layers. Defaults to `(128,)`.
        tower_units: Widths of each tower's hidden layers. Defaults to `(16,)`.
        balance_weight: Factor of the balance loss; for SMES. Defaults to `0.1`.
        epochs: Passes over the training rows. Defaults to `2`.
        batch_size: Rows a step. Defaults to `512`.
        learning_rate: Adam's, at the start; it falls to zero along a cosine. Defaults to `0.002`.
        seed: Seed of weights and of the order of rows. Defaults to `0`.
    """

    data: str
    data_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    model: str = "smes"
    num_experts: int = 16
    num_shared: int = 2
    num_private: int | Sequence[int] = 1
    expert_units: Sequence[int] = (64, 32)
    encoder_units: Sequence[int] = (128,)
    tower_units: Sequence[int] = (16,)
    balance_weight: float = 0.1
    epochs: int = 2
    batch_size: int = 512
    learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"`model` must be one of {list(MODELS)}. Received: model={self.model!r}")
        for name in ("num_experts", "epochs", "batch_size"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, minimum=0)
        for name in ("expert_units", "encoder_units", "tower_units"):
            object.__setattr__(self, name, check_counts(name, getattr(self, name)))
        if not check_weight("learning_rate", self.learning_rate) > 0:
            raise ValueError(f"`learning_rate` must be positive. Received: {self.learning_rate}")

    def to_dict(self) -> dict[str, Any]:
        """Returns the configuration as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Returns the configuration that `values` spell; an unknown key is refused by name."""
        known = [field.name for field in dataclasses.fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"Configuration keys must be among {known}. Received: unknown={unknown}")
        return cls(**values)

    def build_experts(self, num_tasks: int) -> keras.layers.Layer:
        """Builds the layer of experts that the configuration names."""
        if self.model == "mmoe":
            return MMoE(num_tasks, self.num_experts, self.expert_units, name="experts")
        return SMES(
            num_tasks,
            self.num_experts,
            self.num_shared,
            self.num_private,
            self.expert_units,
            balance_weight=self.balance_weight,
            name="experts",
        )
