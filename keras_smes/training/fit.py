"""Fits a ranker."""

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import keras

from keras_smes.data.rows import Rows
from keras_smes.diagnostics import Events, RoutingMonitor, has_routing
from keras_smes.distribution import Engine
from keras_smes.distribution.loop import LoopEngine
from keras_smes.features.schema import FeatureSchema
from keras_smes.ranker import build_ranker, tower_name
from keras_smes.tasks import Task
from keras_smes.training.config import RunConfig
from keras_smes.training.input.data_service import ServedPlan
from keras_smes.training.input.packed_rows import PackedRows
from keras_smes.training.input.plan import StepPlan
from keras_smes.training.input.prepared import Prepared, prepare, prepare_for
from keras_smes.training.input.preprocessing import sample_counted
from keras_smes.training.loop.resume import Checkpointer
from keras_smes.training.loop.state import Progress
from keras_smes.training.loop.trainer import Trainer
from keras_smes.training.loop.validation import Validation
from keras_smes.training.model.jax import JaxMultiTaskModel
from keras_smes.training.model.multi_task import MultiTaskModel
from keras_smes.training.model.optimizer import build_optimizer
from keras_smes.training.task_losses import TaskLosses, joint_loss


class Outputs(NamedTuple):
    """Files that a training writes while it runs.

    Attributes:
        tensorboard: Folder of event files. Defaults to `None`.
        routing: CSV file of the routing by epoch. Defaults to `None`.
    """

    tensorboard: Path | None = None
    routing: Path | None = None


class Fitted(NamedTuple):
    """Result of `fit_ranker`.

    Attributes:
        ranker: From raw columns to scores.
        progress: The metrics by epoch, and the selected epoch.
        model: The trained model: the ranker's core with its losses and optimizer.
        schema: The fitted schema.
    """

    ranker: keras.Model
    progress: Progress
    model: MultiTaskModel
    schema: FeatureSchema

    @property
    def history(self) -> dict[str, list[float]]:
        """The metrics by name, each a list of one value per epoch."""
        epochs = self.progress.history
        return {name: [metrics[name] for metrics in epochs] for name in (epochs[0] if epochs else ())}


class StartState(Protocol):
    """State from which training continues, instead of fresh weights; see `keras_smes.incremental`."""

    @property
    def digest(self) -> str:
        """Identifies the state when a killed training resumes."""

    @property
    def first_step(self) -> int:
        """Steps that the optimizer has already done."""

    def prepare(self, train: Rows, verbose: int | str = 0) -> Prepared:
        """Prepares rows with the earlier fitted schema and tasks, grown by new values."""

    def apply(self, prepared: Prepared, model: MultiTaskModel) -> None:
        """Sets the weights and the optimizer of a model that is built for `prepared`."""

    def describe(self) -> dict[str, Any]:
        """Returns its origin and what has grown, as JSON values."""


@dataclasses.dataclass(frozen=True)
class FitContext:
    """Engine, checkpoints and outputs of a training.

    Args:
        engine: The `Engine` that runs the steps, see `build_engine`. Defaults to one device.
        session: A `Checkpointer`, which resumes from checkpoints and writes them. Defaults to `None`.
        outputs: `Outputs`. Defaults to none.
        start: A `StartState`. Defaults to `None`, fresh weights.
        data_service: Address of the dispatcher of a `tf.data` service that makes the batches, see
            `ServedPlan`. Defaults to `None`, this process makes them.
        verbose: Keras' verbosity: `"auto"` or `1` shows progress bars. Defaults to `"auto"`.
    """

    engine: Engine = dataclasses.field(default_factory=Engine)
    session: Checkpointer | None = None
    outputs: Outputs = dataclasses.field(default_factory=Outputs)
    start: StartState | None = None
    data_service: str | None = None
    verbose: int | str = "auto"


def fit_ranker(
    config: RunConfig,
    train: Rows,
    validation: Rows | None = None,
    verbose: int | str = "auto",
    **context: Any,
) -> Fitted:
    """Builds the ranker of `config` and trains it.

    Args:
        config: The `RunConfig`.
        train: Rows to train on, in memory or on disk, see `Interactions.to_train`. The schema's vocabularies
            and moments come from them.
        validation: Rows that are evaluated after each epoch, and the only ones by which `config` may select
            epochs. Defaults to `None`.
        verbose: Keras' verbosity: `"auto"` or `1` shows progress bars. Defaults to `"auto"`.
        **context: Fields of `FitContext`, such as `engine=build_engine(config.distribution)`.

    Returns:
        A `Fitted`: the ranker and how its training went.

    Raises:
        ValueError: A task has only one label in the training rows that count; epochs are to be selected
            without validation rows; a checkpoint is of another configuration or other rows.
        NonFiniteError: A loss or gradient is not finite.
    """
    fit_context = FitContext(verbose=verbose, **context)
    start = fit_context.start
    _check_start(start, fit_context.engine)
    train = train.to_train()
    prepared = prepare(train, verbose) if start is None else start.prepare(train, verbose)
    return fit_prepared(config, prepared, validation, fit_context)


def fit_prepared(
    config: RunConfig,
    prepared: Prepared,
    validation: Rows | None = None,
    context: FitContext | None = None,
) -> Fitted:
    """As `fit_ranker`, on rows from `prepare` or `start.prepare`."""
    context = context or FitContext()
    engine, start = context.engine, context.start
    _check_selection(config, validation)
    engine.check(config)
    plan = _plan(config, prepared.rows, context)
    ranker, model = new_model(config, prepared, plan.steps, engine, 0 if start is None else start.first_step)
    if start is not None:
        start.apply(prepared, model)
    watched = None
    if validation is not None:
        held_out = prepare_for(prepared.schema, prepared.tasks, validation, context.verbose)
        ranked = validation if _selects(config) else None
        watched = Validation(ranker, model, held_out.rows, ranked, engine)
    monitored = prepared.rows if watched is None else watched.packed
    trainer = Trainer(
        model,
        plan,
        config.training,
        watched,
        session=context.session,
        curves=None if context.outputs.tensorboard is None else Events(context.outputs.tensorboard),
        monitor=_measure_routing(config, ranker, model, monitored, context),
        verbose=context.verbose,
        engine=engine,
    )
    if context.session is not None:
        packed = [prepared.rows, *([] if watched is None else [watched.packed])]
        found = context.session.resume(_fingerprint(prepared.schema, packed))
        if found is not None:
            trainer.resume(found.meta["progress"], found.arrays)
    progress = trainer.train()
    engine.hand_over(model.core, ranker.get_layer("core"))
    return Fitted(ranker, progress, model, prepared.schema)


def _plan(config: RunConfig, rows: PackedRows, context: FitContext) -> StepPlan:
    batch_size = config.batch_size(rows.num_rows)
    if context.data_service is None:
        return StepPlan(rows, batch_size, config.seed)
    if not isinstance(context.engine, LoopEngine):
        raise ValueError(
            "`data_service` requires engine 'mirrored' (one device is enough), 'multi_worker' or "
            f"'parameter_server'. Received: engine={context.engine.name!r}"
        )
    return ServedPlan(rows, batch_size, config.seed, config.training.epochs, context.data_service)


def _measure_routing(
    config: RunConfig, ranker: keras.Model, model: MultiTaskModel, packed: PackedRows, context: FitContext
) -> Callable[[int], dict[str, float]]:
    """The function that copies the weights to the core after an epoch and measures its routing."""
    core = ranker.get_layer("core")
    monitor = _monitor(config.training.monitor_rows, ranker, packed, context.outputs)

    def measure(epoch: int) -> dict[str, float]:
        context.engine.hand_over(model.core, core)
        return {} if monitor is None else monitor.measure(epoch)

    return measure


def _monitor(rows: int, ranker: keras.Model, packed: PackedRows, outputs: Outputs) -> RoutingMonitor | None:
    core, tasks = ranker.get_layer("core"), ranker.get_layer("scores").tasks
    if not rows or not has_routing(core):
        return None
    features = sample_counted(packed, rows)
    if not len(next(iter(features.values()))):
        return None
    # TensorBoard reads only one open file per folder.
    folder = None if outputs.tensorboard is None else outputs.tensorboard / "routing"
    names = [task.name for task in tasks]
    return RoutingMonitor(features, names, rows, outputs.routing, folder, core)


def new_model(
    config: RunConfig, prepared: Prepared, steps: int, engine: Engine | None = None, first_step: int = 0
) -> tuple[keras.Model, MultiTaskModel]:
    """Builds the ranker of `config`, and the model that trains it."""
    engine = engine or Engine()
    keras.utils.set_random_seed(config.seed)
    ranker = _build(config, prepared.schema, prepared.tasks)
    start_at_base_rates(ranker, prepared.base_rates)
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
            batch_norm=config.encoder.batch_norm,
        )


def start_at_base_rates(ranker: keras.Model, base_rates: Mapping[str, float]) -> None:
    """Sets the logit bias of binary tasks to the log-odds of their base rate.

    ```
    bias[t] = log(rate[t] / (1 - rate[t]))
    ```

    The first steps on a rare label then learn from features, instead of moving the bias.
    """
    core = ranker.get_layer("core")
    for task, rate in base_rates.items():
        tower = core.get_layer(tower_name(task))
        tower.logits.bias.assign([math.log(rate / (1 - rate))])


def _compiled(
    config: RunConfig, ranker: keras.Model, steps: int, engine: Engine, first_step: int
) -> MultiTaskModel:
    """The ranker's core with losses and a built optimizer."""
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
        jit_compile=training.jit_compile or on_jax,  # uncompiled, JAX dispatches each operation by itself
        steps_per_execution=training.steps_per_execution,
        auto_scale_loss=False,
    )
    return model


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Sets Keras' global policy for layers that are created within."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _fingerprint(schema: FeatureSchema, packed: Sequence[PackedRows]) -> str:
    values = [json.dumps(schema.to_config()), *(rows.digest() for rows in packed)]
    return hashlib.blake2b("\n".join(values).encode(), digest_size=16).hexdigest()


def _selects(config: RunConfig) -> bool:
    return config.training.select is not None or config.training.early_stopping is not None


def _check_start(start: StartState | None, engine: Engine) -> None:
    if start is not None and not engine.keeps_shapes:
        raise ValueError(
            f"A run can't continue with engine {engine.name!r}, which shards tables: use another one, "
            f"such as 'multi_worker'. Received: engine={engine.name!r}"
        )


def _check_selection(config: RunConfig, validation: Rows | None) -> None:
    if _selects(config) and validation is None:
        raise ValueError(
            "`select` and `early_stopping` need validation rows. Received: validation=None, "
            f"select={config.training.select}, early_stopping={config.training.early_stopping}"
        )
