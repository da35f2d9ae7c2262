"""The machines that a plan is for."""

import dataclasses

from keras_smes.checks import check_count, check_positive


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Workers, where tables lie, and what a machine and a link can do.

    Args:
        workers: Workers n, each with an equal share of a batch. Defaults to `1`.
        parameter_servers: Hosts among which the embedding tables are spread evenly, slots included. Defaults
            to `0`: every worker has all of them.
        expert_parallel: Whether the experts are spread over the workers, whose instances then travel to them;
            otherwise every worker has all. Defaults to `False`.
        worker_memory_gb: Memory of a worker's device in gigabytes (10^9). Defaults to `80.0`.
        host_memory_gb: Memory of a parameter server. Defaults to `512.0`.
        link_gb_per_second: What a machine can send in a second. Defaults to `12.5`, 100 Gbit.
        memory_gb_per_second: What a worker's device reads or writes in a second. Defaults to `2000.0`.
        teramultiplications_per_second: Multiplications, each with its addition, that a worker does in a
            second, in 10^12. Defaults to `30.0`.
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
