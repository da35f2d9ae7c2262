"""The machines of a plan."""

import dataclasses

from keras_smes.validation import check_count, check_positive


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Workers, placement of tables and experts, and rates of machines and links.

    Args:
        workers: Workers n, each with an equal share of a batch. Defaults to `1`.
        parameter_servers: Hosts over which the embedding tables and their slots are sharded evenly. Defaults
            to `0`: every worker has all tables.
        expert_parallel: Whether the experts are sharded over the workers, with instances exchanged between
            them; otherwise every worker has all experts. Defaults to `False`.
        worker_memory_gb: Memory of a worker's device in gigabytes (10^9). Defaults to `80.0`.
        host_memory_gb: Memory of a parameter server. Defaults to `512.0`.
        link_gb_per_second: Send rate of a machine. Defaults to `12.5`, 100 Gbit.
        memory_gb_per_second: Memory bandwidth of a worker's device. Defaults to `2000.0`.
        teramultiplications_per_second: Multiply-adds of a worker per second, in 10^12. Defaults to `30.0`.
    """

    workers: int = 1
    parameter_servers: int = 0
    expert_parallel: bool = False
    worker_memory_gb: float = 80.0
    host_memory_gb: float = 512.0
    link_gb_per_second: float = 12.5
    memory_gb_per_second: float = 2000.0
    teramultiplications_per_second: float = 30.0

    def __post_init__(self) -> None:
        check_count("workers", self.workers)
        check_count("parameter_servers", self.parameter_servers, minimum=0)
        for field in dataclasses.fields(self)[3:]:
            check_positive(field.name, getattr(self, field.name))
