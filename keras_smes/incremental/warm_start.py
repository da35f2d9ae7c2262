"""From a finished run to the weights and the optimizer of the next one, which may be larger."""

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
from keras_smes.incremental.tasks import grow_tasks, towers
from keras_smes.incremental.vocabularies import count_new, grow_schema, table_sources
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

SAMPLE = 4096  # rows by which new experts are placed
_NOTHING = np.empty(0)


@dataclasses.dataclass
class WarmStart:
    """A finished run, to go on from.

    What it holds is carried over by name: weights, optimizer slots, the optimizer's count of steps, and the
    state of the way losses are joined where the tasks are the same. The schedule of learning rates begins
    anew. What is larger than before:

    - a vocabulary: new ids get fresh rows and fresh slots, old ones keep theirs (`grow_schema`);
    - the pool of experts: the new ones are copies with noise, slots included, that no instance chooses yet
      (`closed_columns`);
    - the tasks: a new one's router starts from the mean of the others', its tower fresh, without a say in
      the shared experts (`grown_task_weights`).

    The old tasks' outputs on rows of known ids are unchanged before the first step.

    Args:
        name: Name of the run.
        ranker: Its ranker.
        config: Its configuration.
        schema: Its fitted features.
        learned: What `keras_smes.training.loop.transfer_state.learned` gave.
        digest: Of the run's files.
        seen: Rows whose ids count, beside those that are trained on. Defaults to `None`, none: an id must
            then be frequent enough in the rows of one training.
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

        Raises:
            FileNotFoundError: The folder is not that of a finished run, or of one without its optimizer.
        """
        run = Path(run)
        ranker, config = load_run(run)
        for name in (SCHEMA, TRAINING):
            if not (run / name).is_file():
                raise FileNotFoundError(
                    f"`run` must hold {name}, as all runs do but those of parameter servers: train it again. "
                    f"Received: {run}"
                )
        schema = load_schema(run)
        with np.load(run / TRAINING, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return cls(run.name, ranker, config, schema, arrays, digest_of(run))

    @property
    def first_step(self) -> int:
        """Steps that the optimizer has behind it."""
        return int(self.learned[STEPS])

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks so far."""
        tasks: tuple[Task, ...] = self.ranker.get_layer("scores").tasks
        return tasks

    def prepare(self, train: Rows, verbose: int | str = 0) -> Prepared:
        """Prepares rows by the run's features and tasks, grown by what the rows have that is new.

        Args:
            train: The rows.
            verbose: `0` shows no progress bar. Defaults to `0`.

        Raises:
            ValueError: Other features, or a task that is missing.
        """
        seen = train if self.seen is None else self.seen
        schema = grow_schema(self.schema, fit_schema(seen, int(verbose != 0)))
        tasks = grow_tasks(self.tasks, train.tasks, train.labels())
        return prepare_for(schema, tasks, train, verbose)

    def apply(self, prepared: Prepared, model: MultiTaskModel) -> None:
        """Sets the weights and the optimizer of a model.

        Args:
            prepared: What `prepare` returned.
            model: A model that is made for it, larger or not.

        Raises:
            ValueError: The model is another one, or has fewer experts.
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
        born = {name for name in new if name.partition("/")[0] in towers(tasks) - towers(self.tasks)}
        if differing := sorted(old.keys() ^ (new.keys() - born)):
            raise ValueError(f"The model must have the layers of the run. Received: differing={differing}")
        for name in old:
            _carry(name, new[name], np.array(old[name]), sources.get(name, {}))

    def _carry_optimizer(self, model: MultiTaskModel, sources: Mapping[str, Sources]) -> None:
        """A slot has the axes of its weight; one that is missing, of another optimizer, starts fresh."""
        for optimizer in parts_of(model.optimizer):
            set_steps(optimizer, self.first_step)
        for name, slot in slots_by_name(model).items():
            owner = name.removeprefix(SLOTS).rpartition("/")[0]
            if name in self.learned and not owner.startswith(JOINT):
                _carry(name, slot, self.learned[name], sources.get(owner, {}))

    def _carry_joint(self, model: MultiTaskModel) -> None:
        """How losses are joined is a matter of all tasks together: joined another way, it starts fresh."""
        joint = {name: slot for name, slot in slots_by_name(model).items() if f"{SLOTS}{JOINT}" in name}
        joint |= joint_by_name(model)
        if all(self.learned.get(name, _NOTHING).shape == tuple(v.shape) for name, v in joint.items()):
            for name, variable in joint.items():
                variable.assign(self.learned[name])

    def describe(self) -> dict[str, Any]:
        """Returns the run's name, digest and steps, and what is new: rows by table, experts, tasks."""
        return {"run": self.name, "digest": self.digest, "first_step": self.first_step, "new": self._new}


def digest_of(run: Path) -> str:
    """Returns a digest of what is gone on from: a run's weights and optimizer."""
    files = [hashlib.sha256((run / name).read_bytes()).hexdigest() for name in (MODEL, TRAINING)]
    return "-".join(digest[:16] for digest in files)


def _encoded(core: keras.Model, prepared: Prepared) -> np.ndarray:
    """Some encoded instances h, `[B, D]`."""
    encoder = keras.Model(core.inputs, core.get_layer(NAME).input)
    some, *_ = prepared.rows.head(SAMPLE)
    return np.asarray(keras.ops.convert_to_numpy(encoder(some)), np.float64)


def _carry(name: str, variable: Any, old: np.ndarray, sources: Sources) -> None:
    variable.assign(carry(name, np.array(variable), old, sources))
