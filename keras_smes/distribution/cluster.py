"""The processes of a job, from `TF_CONFIG`."""

import dataclasses
import json
import os
from collections.abc import Mapping

TASKS = ("chief", "worker", "ps")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a job, and the role of this one.

    Args:
        addresses: `HOST:PORT` of the processes of each kind: `"chief"`, `"worker"`, `"ps"`.
        task: Kind of this process.
        index: Its index within its kind, from 0.
    """

    addresses: Mapping[str, tuple[str, ...]]
    task: str
    index: int

    def __post_init__(self) -> None:
        if unknown := sorted({*self.addresses, self.task} - set(TASKS)):
            raise ValueError(f"`TF_CONFIG` must name tasks among {list(TASKS)}. Received: {unknown}")
        if not 0 <= self.index < len(self.addresses.get(self.task, ())):
            raise ValueError(
                "`TF_CONFIG` must give this process an address of its cluster. "
                f"Received: task {self.task!r} {self.index} of {dict(self.addresses)}"
            )

    @classmethod
    def from_environment(cls) -> "Cluster | None":
        """Returns the cluster of `TF_CONFIG`; `None` if it isn't set or names no other process.

        Raises:
            ValueError: `TF_CONFIG` isn't JSON of TensorFlow's format.
        """
        text = os.environ.get("TF_CONFIG", "")
        try:
            values = json.loads(text) if text else {}
            addresses = {kind: tuple(own) for kind, own in values.get("cluster", {}).items()}
            task = values.get("task", {})
            if sum(map(len, addresses.values())) < 2:
                return None
            return cls(addresses, task["type"], int(task["index"]))
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(
                '`TF_CONFIG` must be JSON such as {"cluster": {"worker": ["HOST:PORT", ...]}, '
                f'"task": {{"type": "worker", "index": 0}}}}. Received: {text!r} ({error!r})'
            ) from None

    @property
    def engine(self) -> str:
        """Name of the engine for this cluster."""
        return "parameter_server" if self.addresses.get("ps") else "multi_worker"

    @property
    def place(self) -> tuple[int, int]:
        """Index of this process among chief and workers, the chief first, and their number."""
        chiefs, workers = (len(self.addresses.get(kind, ())) for kind in ("chief", "worker"))
        return self.index + (chiefs if self.task == "worker" else 0), chiefs + workers
