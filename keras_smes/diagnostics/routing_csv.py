"""Routing by epoch and layer as a CSV file, one number per line, for any tool."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_smes.files import named_errors, whole


class Measured(NamedTuple):
    """One line of the file."""

    epoch: int  # from 0
    layer: str
    measure: str  # of `RoutingHealth.result()`
    task: str  # empty for a measure over all tasks
    at: str  # the expert, the other task, or the number of executed experts; empty for a single number
    value: float


class RoutingCsv:
    """Writes routing measures, epoch by epoch.

    An existing file is continued: lines of the written epoch and of later ones are replaced. A killed and
    resumed training therefore leaves the file of an uninterrupted one, and a restarted training starts the
    file over.

    Args:
        path: The file; its folder is created if needed.

    Example:

    >>> file = RoutingCsv(folder / "routing.csv")
    >>> file.write(0, {"experts": {"dead_experts": 1, "expert_load": [0.7, 0.3]}}, ["click", "like"])
    >>> [line.value for line in read_routing(folder / "routing.csv") if line.measure == "expert_load"]
    [0.7, 0.3]
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._next: int | None = None

    def write(self, epoch: int, results: Mapping[str, Mapping[str, Any]], task_names: Sequence[str]) -> None:
        """Writes the lines of an epoch: `RoutingHealth.result()` by layer, without undefined measures."""
        if self._next != epoch:
            self._keep_before(epoch)
        with named_errors(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for layer, result in results.items():
                writer.writerows(
                    Measured(epoch, layer, measure, task, at, float(number))
                    for measure, value in result.items()
                    for task, at, number in _numbers(measure, value, task_names)
                    if number is not None
                )
        self._next = epoch + 1

    def _keep_before(self, epoch: int) -> None:
        kept = [line for line in read_routing(self.path) if line.epoch < epoch] if self.path.exists() else []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([Measured._fields, *kept])


def read_routing(path: str | Path) -> list[Measured]:
    """Reads a file of `RoutingCsv`, without an incomplete last line.

    Args:
        path: The file.

    Returns:
        A `Measured` per line.

    Raises:
        ValueError: The file has another header.
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if not lines or tuple(lines[0]) != Measured._fields:
        raise ValueError(f"{path} must begin with {','.join(Measured._fields)}. Received: {lines[:1]}")
    complete = [line for line in lines[1:] if len(line) == len(Measured._fields) and line[-1]]
    return [Measured(int(line[0]), line[1], line[2], line[3], line[4], float(line[5])) for line in complete]


def _numbers(measure: str, value: Any, task_names: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
    """Numbers of a measure, each with its task and position."""
    if measure == "task_overlap_matrix":
        for task, row in zip(task_names, value, strict=True):
            yield from ((task, other, number) for other, number in zip(task_names, row, strict=True))
    elif measure == "task_expert_share":
        for task, row in zip(task_names, value, strict=True):
            yield from ((task, str(expert), number) for expert, number in enumerate(row))
    elif measure == "router_entropy_per_task":
        yield from ((task, "", number) for task, number in zip(task_names, value, strict=True))
    elif isinstance(value, list):  # by expert, or by number of executed experts
        yield from (("", str(place), number) for place, number in enumerate(value))
    else:
        yield "", "", value
