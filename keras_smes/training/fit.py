"""Fits a ranker."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np

from keras_smes.data.interactions import Interactions
from keras_smes.diagnostics import Events, RoutingMonitor, has_routing
from keras_smes.distribution import Engine
from keras_smes.distribution.loop import LoopEngine
from keras_smes.features.encoder import preprocessor
from keras_smes.features.schema import FeatureSchema
from keras_smes.ranker import build_ranker
from keras_smes.tasks import Task
from keras_smes.training.batches import Arrays, PackedRows, count_for_any, run_preprocessor
from keras_smes.training.config import RunConfig
from keras_smes.training.jax_model import JaxMultiTaskModel
from keras_smes.training.model import MultiTaskModel
from keras_smes.training.optimizer import build_optimizer
from keras_smes.training.served import ServedPlan
from keras_smes.training.session import Session, fingerprint
from keras_smes.training.state import Progress
from keras_smes.training.task_losses import TaskLosses, joint_loss
from keras_smes.training.trainer import StepPlan, Trainer
from keras_smes.training.validation import Validation, labelled


class Outputs(NamedTuple):
    """Where a training writes down what it shows while it goes on.

    Attributes:
        tensorboard: Folder of event files. Defaults to `None`, none are written.
        routing: CSV file of the routing by epoch. Defaults to `None`, none is written.
    """

    tensorboard: Path | None = None
    routing: Path | None = None


class Fitted(NamedTuple):
    """What `fit_ranker` returns.

    Attributes:
        ranker: From raw columns to scores.
        progress: The epochs' figures, and which was chosen.
        model: What was trained: the ranker's core with its losses and its optimizer.
        schema: The fitted schema.
    """

    ranker: keras.Model
    progress: Progress
    model: MultiTaskModel
    schema: FeatureSchema

    @property
    def history(self) -> dict[str, list[float]]:
        """The figures by name, a list of one number an epoch."""
        epochs = self.progress.history
        return {name: [figures[name] for figures in epochs] for name in (epochs[0] if epochs else ())}


class Start(Protocol):
    """What a training goes on from, instead of fresh weights; see `keras_smes.incremental`."""

    @property
    def digest(self) -> str:
        """By which it is known again when a killed training is resumed."""

    @property
    def first_step(self) -> int:
        """Steps that the optimizer has behind it."""

    def prepare(self, train: Interactions, verbose: int | str = 0) -> "Prepared":
        """Prepares rows by what was fitted before, grown by what they have that is new."""

    def apply(self, prepared: "Prepared", model: MultiTaskModel) -> None:
        """Sets the weights and the optimizer of a model that is made for `prepared`."""

    def describe(self) -> dict[str, Any]:
        """Returns what it is and what has grown, as JSON values."""


def fit_ranker(
    config: RunConfig,
    train: Interactions,
    validation: Interactions | None = None,
    verbose: int | str = "auto",
    session: Session | None = None,
    outputs: Outputs | None = None,
    engine: Engine | None = None,
    start: Start | None = None,
    data_service: str | None = None,
) -> Fitted:
    """Builds the ranker that `config` names and trains it.

    Args:
        config: The `RunConfig`.
        train: Rows to train on, see `Interactions.to_train`; the schema's vocabularies and moments come from
            them.
        validation: Rows that are measured after each epoch; epochs are chosen by them if the configuration
            says so, and by nothing else. Defaults to `None`.
        verbose: Keras' verbosity: `"auto"` or `1` shows progress bars. Defaults to `"auto"`.
        session: A `Session`: a state that it finds is taken up, and states are written. Defaults to
            `None`.
        outputs: `Outputs`. Defaults to `None`, nothing is written.
        engine: The `Engine` that runs the steps, see `build_engine`. Defaults to `None`, one device.
        start: What to go on from. Defaults to `None`, fresh weights.
        data_service: Address of the dispatcher of a `tf.data` service that makes the batches, see
            `ServedPlan`. Defaults to `None`, this process makes them.

    Returns:
        A `Fitted`: the ranker and how its training went.

    Raises:
        ValueError: A task has but one label in the training rows that count: there is nothing to learn;
            epochs are to be chosen without validation rows; a state of another configuration or other rows.
        NonFiniteError: A loss or gradient is not finite.
    """
    engine, train = engine or Engine(), train.to_train()
    _check_start(start, engine)
    prepared = prepare(train, verbose) if start is None else start.prepare(train, verbose)
    return fit_prepared(config, prepared, validation, verbose, session, outputs, engine, start, data_service)


class Prepared(NamedTuple):
    """Training rows as a core takes them: the same for every model that is trained on them.

    Attributes:
        schema: The fitted schema.
        tasks: The fitted tasks.
        features: What the preprocessor puts out.
        targets: Of each task.
        counted: Of each task.
    """

    schema: FeatureSchema
    tasks: Sequence[Task]
    features: Arrays
    targets: Arrays
    counted: Arrays

    @property
    def parts(self) -> tuple[Arrays, Arrays, Arrays]:
        """What makes a batch."""
        return self.features, self.targets, self.counted


def prepare(train: Interactions, verbose: int | str = 0) -> Prepared:
    """Fits schema and tasks to training rows, and preprocesses these.

    Args:
        train: The rows.
        verbose: `0` shows no progress bar. Defaults to `0`.

    Raises:
        ValueError: A task has but one label in the rows that count.
    """
    _check_labels(train)
    labels = train.labels()
    tasks = [task.fit(labels) for task in train.tasks]
    return prepare_for(train.schema.fit(train.columns()), tasks, train, verbose)


def prepare_for(
    schema: FeatureSchema, tasks: Sequence[Task], train: Interactions, verbose: int | str = 0
) -> Prepared:
    """As `prepare`, with a schema and tasks that are fitted already."""
    features = run_preprocessor(preprocessor(schema), train.columns(), int(verbose != 0))
    return Prepared(schema, tasks, features, *labelled(tasks, train))


def fit_prepared(
    config: RunConfig,
    prepared: Prepared,
    validation: Interactions | None = None,
    verbose: int | str = "auto",
    session: Session | None = None,
    outputs: Outputs | None = None,
    engine: Engine | None = None,
    start: Start | None = None,
    data_service: str | None = None,
) -> Fitted:
    """As `fit_ranker`, on rows that `prepare` prepared, or `start.prepare`."""
    engine = engine or Engine()
    _check_choice(config, validation)
    engine.check(config)
    outputs = outputs or Outputs()
    plan = _plan(config, PackedRows(prepared.parts), engine, data_service)
    ranker, model = new_model(config, prepared, plan.steps, engine, 0 if start is None else start.first_step)
    if start is not None:
        start.apply(prepared, model)
    watched = None
    if validation is not None:
        watched = Validation(ranker, model, validation, _chooses(config), int(verbose != 0), engine)
    curves = None if outputs.tensorboard is None else Events(outputs.tensorboard)
    core, looked_at = ranker.get_layer("core"), prepared if watched is None else watched
    monitor = _monitor(config.training.monitor_rows, ranker, looked_at, outputs)

    def measure(epoch: int) -> dict[str, float]:
        engine.hand_over(model.core, core)
        return {} if monitor is None else monitor.measure(epoch)

    trainer = Trainer(model, plan, config.training, watched, session, curves, measure, verbose, engine)
    if session is not None:
        further = () if watched is None else watched.parts
        found = session.resume(_fingerprint(prepared.schema, (*prepared.parts, *further)))
        if found is not None:
            trainer.resume(found.meta["progress"], found.arrays)
    progress = trainer.train()
    engine.hand_over(model.core, ranker.get_layer("core"))
    return Fitted(ranker, progress, model, prepared.schema)


def _plan(config: RunConfig, rows: PackedRows, engine: Engine, data_service: str | None) -> StepPlan:
    batch_size = config.training.batch_size
    if data_service is None:
        return StepPlan(rows, batch_size, config.seed)
    if not isinstance(engine, LoopEngine):
        raise ValueError(
            "`data_service` needs an engine with a loop of ours: take 'mirrored', which may have one device, "
            f"'multi_worker' or 'parameter_server'. Received: engine={engine.name!r}"
        )
    return ServedPlan(rows, batch_size, config.seed, config.training.epochs, data_service)


def _monitor(
    rows: int, ranker: keras.Model, looked_at: Prepared | Validation, outputs: Outputs
) -> RoutingMonitor | None:
    core, tasks = ranker.get_layer("core"), ranker.get_layer("scores").tasks
    mask = count_for_any(looked_at.counted)
    if not rows or not mask.any() or not has_routing(core):
        return None
    # A folder of its own: TensorBoard reads one file of a folder while it is written.
    folder = None if outputs.tensorboard is None else outputs.tensorboard / "routing"
    names = [task.name for task in tasks]
    return RoutingMonitor(looked_at.features, names, rows, outputs.routing, folder, core, mask)


def new_model(
    config: RunConfig, prepared: Prepared, steps: int, engine: Engine | None = None, first_step: int = 0
) -> tuple[keras.Model, MultiTaskModel]:
    """Builds the ranker that `config` names, and the model that trains it.

    Args:
        config: The `RunConfig`.
        prepared: The rows.
        steps: Steps an epoch.
        engine: The `Engine`. Defaults to `None`, one device.
        first_step: Steps that the optimizer has behind it. Defaults to `0`.
    """
    engine = engine or Engine()
    keras.utils.set_random_seed(config.seed)
    ranker = _build(config, prepared.schema, prepared.tasks)
    with engine.scope():
        return ranker, _compiled(config, ranker, steps, engine, first_step)


def _build(config: RunConfig, schema: FeatureSchema, tasks: Sequence[Task]) -> keras.Model:
    with _dtype_policy(config.training.dtype_policy):
        return build_ranker(
            schema,
            tasks,
            config.build_experts(len(tasks)),
            config.encoder.units,
            config.tower_units,
            config.encoder.crosses,
            config.encoder.cross_dim,
        )


def _compiled(
    config: RunConfig, ranker: keras.Model, steps: int, engine: Engine, first_step: int
) -> MultiTaskModel:
    """The ranker's core with losses and an optimizer that has its state, which a resume overwrites."""
    training = config.training
    core, tasks = engine.to_train(ranker.get_layer("core")), ranker.get_layer("scores").tasks
    joint = joint_loss(training.loss_balance, tasks, core, config.seed, training.loss_balance_options)
    on_jax = keras.backend.backend() == "jax"
    model = (JaxMultiTaskModel if on_jax else MultiTaskModel)(core, TaskLosses(tasks), joint)
    optimizer = build_optimizer(
        config.optimizer,
        training.epochs * steps,
        model.trainable_variables,
        training.dtype_policy == "mixed_float16",
        first_step,
    )
    model.compile(
        optimizer,
        jit_compile=training.jit_compile or on_jax,  # where each operation by itself would take its time
        steps_per_execution=training.steps_per_execution,
        auto_scale_loss=False,
    )
    return model


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Layers made within have the policy; Keras knows one policy for all that is made at a time."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _fingerprint(schema: FeatureSchema, parts: Sequence[Arrays]) -> str:
    features = json.dumps(schema.to_config()).encode()
    return fingerprint([{"schema": np.frombuffer(features, np.uint8)}, *parts])


def _chooses(config: RunConfig) -> bool:
    return config.training.select is not None or config.training.early_stopping is not None


def _check_start(start: Start | None, engine: Engine) -> None:
    if start is not None and not engine.keeps_shapes:
        raise ValueError(
            f"A run can't go on with engine {engine.name!r}, which cuts tables into shards: take another, "
            f"such as 'multi_worker'. Received: engine={engine.name!r}"
        )


def _check_choice(config: RunConfig, validation: Interactions | None) -> None:
    if _chooses(config) and validation is None:
        raise ValueError(
            "`select` and `early_stopping` need validation rows. Received: validation=None, "
            f"select={config.training.select}, early_stopping={config.training.early_stopping}"
        )


def _check_labels(train: Interactions) -> None:
    labels = train.labels()
    for task in train.tasks:
        counted = task.observed(labels)[task.counted(labels) > 0]
        if len(np.unique(counted)) < 2:
            raise ValueError(
                f"Task {task.name!r} needs different labels among the {len(train)} training rows. "
                f"Received: {len(counted)} rows that count, of labels {np.unique(counted)}"
            )
