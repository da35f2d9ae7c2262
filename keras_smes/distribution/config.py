"""Which engine runs the steps."""

import dataclasses

from keras_smes.checks import check_count

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
    """Which engine runs the steps, and over what.

    Args:
        engine: `"single"`: one device. `"mirrored"`: several devices of this machine, on TensorFlow.
            `"multi_worker"` and `"parameter_server"`: several processes, named by the environment variable
            `TF_CONFIG`. `"data_parallel"` and `"expert_parallel"`: several devices on JAX. `"auto"`: what
            `TF_CONFIG` asks for, `"single"` without one. Defaults to `"auto"`.
        devices: How many devices `"mirrored"` and the engines on JAX use. Defaults to `None`, all there are.
        table_shards: Into how many shards `"parameter_server"` cuts each embedding table. Defaults to
            `None`, one a server.
    """

    engine: str = "auto"
    devices: int | None = None
    table_shards: int | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"`engine` must be one of {list(ENGINES)}. Received: engine={self.engine!r}")
        for name in ("devices", "table_shards"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
