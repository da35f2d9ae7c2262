"""Configuration of the engine."""

import dataclasses

from keras_smes.validation import check_count, check_one_of

ENGINES = (
    "auto",
    "single",
    "mirrored",
    "multi_worker",
    "parameter_server",
    "data_parallel",
    "expert_parallel",
)


@dataclasses.dataclass(frozen=True)
class DistributionConfig:
    """Selects the engine that runs the steps, and its devices.

    Args:
        engine: `"single"`: one device. `"mirrored"`: several devices of this machine, on TensorFlow.
            `"multi_worker"` and `"parameter_server"`: several processes, named by the environment variable
            `TF_CONFIG`. `"data_parallel"` and `"expert_parallel"`: several devices on JAX. `"auto"`: the
            engine of `TF_CONFIG`, `"single"` without one. Defaults to `"auto"`.
        devices: Number of devices of `"mirrored"` and the engines on JAX. Defaults to `None`, all available.
        table_shards: Number of shards of each embedding table with `"parameter_server"`. Defaults to
            `None`, one per server.
    """

    engine: str = "auto"
    devices: int | None = None
    table_shards: int | None = None

    def __post_init__(self) -> None:
        check_one_of("engine", self.engine, ENGINES)
        for name in ("devices", "table_shards"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
