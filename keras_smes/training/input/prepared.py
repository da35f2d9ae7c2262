"""Rows as a core takes them: preprocessed and labelled once for all epochs."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from keras_smes.console import track
from keras_smes.data.interactions import Interactions
from keras_smes.data.rows import Rows
from keras_smes.data.store.cache import cached
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.schema import fit_schema
from keras_smes.features.encoder import preprocessor
from keras_smes.features.schema import FeatureSchema
from keras_smes.tasks import BinaryTask, Task
from keras_smes.training.input.packed_rows import PackedRows, RowsInMemory, RowsOnDisk, begun_digest
from keras_smes.training.input.packing import Arrays, Packing
from keras_smes.training.input.preprocessing import run_preprocessor

FORMAT = 1  # version of the files; another number rewrites them
WORDS = "rows.words"


class Prepared(NamedTuple):
    """Prepared rows, the same for every model that is trained on them.

    Attributes:
        schema: The fitted schema.
        tasks: The fitted tasks.
        rows: Tuple of three dicts: outputs of the preprocessor, and by task targets and weights of the rows
            that count.
        base_rates: Weighted mean label of each binary task over the training rows that count, by task name.
    """

    schema: FeatureSchema
    tasks: Sequence[Task]
    rows: PackedRows
    base_rates: Mapping[str, float] = MappingProxyType({})


def prepare(train: Rows, verbose: int | str = 0) -> Prepared:
    """Fits schema and tasks to training rows, and prepares the rows.

    Raises:
        ValueError: A task has only one label in the rows that count.
    """
    labels = train.labels()
    check_labels(train.tasks, labels)
    tasks = [task.fit(labels) for task in train.tasks]
    prepared = prepare_for(fit_schema(train, int(verbose != 0)), tasks, train, verbose)
    return prepared._replace(base_rates=base_rates(tasks, labels, train.weights()))


def prepare_for(schema: FeatureSchema, tasks: Sequence[Task], rows: Rows, verbose: int | str = 0) -> Prepared:
    """As `prepare`, with a fitted schema and fitted tasks.

    Rows on disk are prepared in parts, into a cached file beside them.
    """
    model = preprocessor(schema)

    def arrays(piece: Interactions) -> tuple[Arrays, ...]:
        bar = int(verbose != 0 and not isinstance(rows, StoredInteractions))
        return run_preprocessor(model, piece.columns(), bar), *labelled(tasks, piece)

    if not isinstance(rows, StoredInteractions):
        ((_, whole),) = rows.pieces()
        return Prepared(schema, tasks, RowsInMemory(arrays(whole)))
    recipe = {"schema": schema.to_config(), "tasks": [task.to_config() for task in tasks]}
    return Prepared(schema, tasks, _stored(rows, arrays, recipe, int(verbose != 0)))


def labelled(
    tasks: Sequence[Task], rows: Interactions
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns inputs of the losses by task: targets without NaN, and weights of the rows that count."""
    labels, weights_n = rows.labels(), rows.weights()
    targets = {task.name: task.targets(labels) for task in tasks}
    return targets, {task.name: task.counted(labels) * weights_n for task in tasks}


def base_rates(
    tasks: Sequence[Task], labels: Mapping[str, np.ndarray], weights_n: np.ndarray
) -> dict[str, float]:
    """Returns the weighted mean label of each binary task over the rows that count."""
    binary = [task for task in tasks if isinstance(task, BinaryTask)]
    counted = {task.name: (task.counted(labels) * weights_n).astype(np.float64) for task in binary}
    return {
        task.name: float(counted[task.name] @ task.observed(labels) / counted[task.name].sum())
        for task in binary
        if counted[task.name].any()
    }


def check_labels(tasks: Sequence[Task], labels: Mapping[str, np.ndarray]) -> None:
    """Rejects tasks that have only one label in the rows that count."""
    for task in tasks:
        counted_n = task.counted(labels) > 0
        counted = task.observed(labels)[counted_n]
        if not len(counted) or counted.min() == counted.max():
            raise ValueError(
                f"Task {task.name!r} needs different labels among the {len(counted_n)} training rows. "
                f"Received: {len(counted)} rows that count, with labels {np.unique(counted)}"
            )


def _stored(
    rows: StoredInteractions,
    arrays: Callable[[Interactions], tuple[Arrays, ...]],
    recipe: Mapping[str, Any],
    verbose: int,
) -> RowsOnDisk:
    whole = {"format": FORMAT, "rows": rows.fingerprint(), **recipe}
    folder, made = cached(rows.folder, "packed", whole, lambda out: _write(rows, arrays, out, verbose))
    return RowsOnDisk(folder / WORDS, Packing.from_config(made["packing"]), made["rows"], made["digest"])


def _write(
    rows: StoredInteractions,
    arrays: Callable[[Interactions], tuple[Arrays, ...]],
    out: Path,
    verbose: int,
) -> dict[str, Any]:
    pieces = rows.pieces()
    _, first = next(pieces)
    parts = arrays(first)
    packing = Packing.of(parts)
    digest = begun_digest(packing)
    with (out / WORDS).open("wb") as file:
        for more in track(itertools.chain([None], pieces), "Preparing rows", verbose, len(rows.parts)):
            words = packing.pack(parts if more is None else arrays(more[1]))
            file.write(words.data)
            digest.update(words.data)
    return {"packing": packing.to_config(), "rows": len(rows), "digest": digest.hexdigest()}
