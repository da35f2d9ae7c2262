"""Initialises weights and optimizer of a run from a finished one, which may be smaller."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_smes.backend.optimizer import set_steps
from keras_smes.data.rows import Rows
from keras_smes.data.store.schema import fit_schema
from keras_smes.features.schema import FeatureSchema
from keras_smes.incremental.experts import check_not_negative
from keras_smes.incremental.grow_arrays import Sources, carry
from keras_smes.incremental.grow_smes import (
    NAME,
    count_experts,
    finish_mixture,
    mixture_sources,
    new_tasks_of,
)
from keras_smes.incremental.tasks import grow_tasks
from keras_smes.incremental.vocabularies import count_new, grow_schema, table_sources
from keras_smes.ranker import tower_name
from keras_smes.tasks import Task
from keras_smes.training.config import RunConfig
from keras_smes.training.input.prepared import Prepared, prepare_for
from keras_smes.training.loop.transfer_state import (
    JOINT,
    SLOTS,
    STEPS,
    joint_by_name,
    parts_of,
    slots_by_name,
    weights_by_name,
)
from keras_smes.training.model.multi_task import MultiTaskModel
from keras_smes.training.run_folder import MODEL, SCHEMA, TRAINING, load_run, load_schema

SAMPLE = 4096  # rows for the initial values of new experts
_NOTHING = np.empty(0)


@dataclasses.dataclass
class WarmStart:
    """A finished run to continue from.

    Weights, optimizer slots and the number of steps are copied by name, as is the state of the joint loss
    where the tasks are the same. The learning rate schedule starts again. What grows:

    - vocabularies: new ids get fresh rows and slots (`grow_schema`);
    - experts: new ones are noisy copies, slots included, to which no row is routed yet (`closed_columns`);
    - tasks: a new one's router starts from the mean of the others', its tower fresh, without influence on the
      shared experts (`grown_task_weights`).

    The old tasks' outputs on rows of known ids are unchanged before the first step.

    Args:
        name: Name of the run.
        ranker: Its ranker.
        config: Its configuration.
        schema: Its fitted features.
        learned: From `keras_smes.training.loop.transfer_state.learned`.
        digest: Digest of the run's files.
        seen: Rows in which ids are counted beside the training rows. Defaults to `None`: an id must be
            frequent enough in the rows of one training.
    """

    name: str
    ranker: keras.Model
    config: RunConfig
    schema: FeatureSchema
    learned: Mapping[str, np.ndarray]
    digest: str
    seen: Rows | None = None

    def __post_init__(self) -> None:
        self._new: dict[str, Any] = {}

    @classmethod
    def read(cls, run: str | Path) -> "WarmStart":
        """Reads a run.

        Args:
            run: Folder of the run.

        Returns:
            A `WarmStart`.

        Raises:
            FileNotFoundError: The folder is not that of a finished run, or its optimizer state is missing.
        """
        run = Path(run)
        ranker, config = load_run(run)
        for name in (SCHEMA, TRAINING):
            if not (run / name).is_file():
                raise FileNotFoundError(
                    f"`run` must hold {name}, as all runs do except with parameter servers: train it again. "
                    f"Received: {run}"
                )
        schema = load_schema(run)
        with np.load(run / TRAINING, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return cls(run.name, ranker, config, schema, arrays, digest_of(run))

    @property
    def first_step(self) -> int:
        """Steps that the optimizer has already done."""
        return int(self.learned[STEPS])

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the run."""
        tasks: tuple[Task, ...] = self.ranker.get_layer("scores").tasks
        return tasks

    def prepare(self, train: Rows, verbose: int | str = 0) -> Prepared:
        """Prepares rows with the run's features and tasks, grown by new values.

        Args:
            train: The training rows.
            verbose: Keras' verbosity. Defaults to `0`.

        Returns:
            A `Prepared`.

        Raises:
            ValueError: The features differ, or a task is missing.
        """
        seen = train if self.seen is None else self.seen
        schema = grow_schema(self.schema, fit_schema(seen, int(verbose != 0)))
        tasks = grow_tasks(self.tasks, train.tasks, train.labels())
        return prepare_for(schema, tasks, train, verbose)

    def apply(self, prepared: Prepared, model: MultiTaskModel) -> None:
        """Sets the weights and the optimizer of a model.

        Args:
            prepared: From `prepare`.
            model: A model that is built for `prepared`.

        Raises:
            ValueError: The layers differ, or there are fewer experts.
        """
        old, new = (core.get_layer(NAME) for core in (self.ranker.get_layer("core"), model.core))
        of_mixture = mixture_sources(old, new, self.tasks, prepared.tasks)
        sources = {**table_sources(self.schema, prepared.schema), **of_mixture}
        before, after = count_experts(old), count_experts(new)
        is_new = new_tasks_of(self.tasks, prepared.tasks)
        if after > before:
            check_not_negative(model.core)
        self._carry_weights(model, sources, prepared.tasks)
        self._carry_optimizer(model, sources)
        if [task.name for task in prepared.tasks] == [task.name for task in self.tasks]:
            self._carry_joint(model)
        if of_mixture:
            finish_mixture(new, before, is_new, _encoded(model.core, prepared), self.config.seed)
        self._new = {
            "rows": count_new(self.schema, prepared.schema),
            "experts": after - before,
            "tasks": [task.name for task, new in zip(prepared.tasks, is_new, strict=True) if new],
        }

    def _carry_weights(
        self, model: MultiTaskModel, sources: Mapping[str, Sources], tasks: Sequence[Task]
    ) -> None:
        old, new = (weights_by_name(core) for core in (self.ranker.get_layer("core"), model.core))
        of_run, stated = ({tower_name(task.name) for task in own} for own in (self.tasks, tasks))
        born = {name for name in new if name.partition("/")[0] in stated - of_run}
        if differing := sorted(old.keys() ^ (new.keys() - born)):
            raise ValueError(f"The model must have the layers of the run. Received: differing={differing}")
        for name in old:
            _carry(name, new[name], np.array(old[name]), sources.get(name, {}))

    def _carry_optimizer(self, model: MultiTaskModel, sources: Mapping[str, Sources]) -> None:
        """Slots have the axes of their weight; missing ones, of another optimizer, start fresh."""
        for optimizer in parts_of(model.optimizer):
            set_steps(optimizer, self.first_step)
        for name, slot in slots_by_name(model).items():
            owner = name.removeprefix(SLOTS).rpartition("/")[0]
            if name in self.learned and not owner.startswith(JOINT):
                _carry(name, slot, self.learned[name], sources.get(owner, {}))

    def _carry_joint(self, model: MultiTaskModel) -> None:
        """The joint loss depends on all tasks together: with another state it starts fresh."""
        joint = {name: slot for name, slot in slots_by_name(model).items() if f"{SLOTS}{JOINT}" in name}
        joint |= joint_by_name(model)
        if all(self.learned.get(name, _NOTHING).shape == tuple(v.shape) for name, v in joint.items()):
            for name, variable in joint.items():
                variable.assign(self.learned[name])

    def describe(self) -> dict[str, Any]:
        """Describes the start, after `apply`.

        Returns:
            JSON values: `run`, `digest` and `first_step` of the run, and what is `new`: `rows` by table, the
            number of `experts`, names of `tasks`.
        """
        return {"run": self.name, "digest": self.digest, "first_step": self.first_step, "new": self._new}


def digest_of(run: Path) -> str:
    """Returns a digest of a run's weights and optimizer."""
    files = [hashlib.sha256((run / name).read_bytes()).hexdigest() for name in (MODEL, TRAINING)]
    return "-".join(digest[:16] for digest in files)


def _encoded(core: keras.Model, prepared: Prepared) -> np.ndarray:
    """Some encoded rows h, `[B, D]`."""
    encoder = keras.Model(core.inputs, core.get_layer(NAME).input)
    some, *_ = prepared.rows.head(SAMPLE)
    return np.asarray(keras.ops.convert_to_numpy(encoder(some)), np.float64)


def _carry(name: str, variable: Any, old: np.ndarray, sources: Sources) -> None:
    variable.assign(carry(name, np.array(variable), old, sources))
