"""Trains and evaluates a run: from a configuration to the files of `run_folder`."""

import contextlib
import dataclasses
import datetime
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_smes.baselines.cost import executed_multiplications
from keras_smes.data import Interactions, Split
from keras_smes.data.rows import Rows, RowsT
from keras_smes.data.split import last_training_day
from keras_smes.data.split_config import SplitConfig, cut, cut_plain
from keras_smes.distribution import Engine, build_engine
from keras_smes.environment import describe_environment
from keras_smes.features.schema import Counts, FeatureSchema
from keras_smes.files import clear_partial, whole_set
from keras_smes.locks import locked
from keras_smes.training.config import RunConfig
from keras_smes.training.evaluate import evaluate
from keras_smes.training.fit import Fitted, Outputs, StartState, fit_ranker
from keras_smes.training.loop.resume import Checkpointer
from keras_smes.training.loop.transfer_state import learned
from keras_smes.training.run_folder import (
    CHECKPOINTS,
    CONFIG,
    FILES,
    METRICS,
    MODEL,
    ROUTING,
    ROWS,
    SAMPLE,
    SCHEMA,
    TENSORBOARD,
    TRAINING,
    load_run,
    load_schema,
    write_json,
    write_rows,
)
from keras_smes.validation import check_weight


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Options that don't change the result of a run.

    Args:
        fresh: Whether to start over if the folder holds an unfinished run. Defaults to `False`.
        checkpoint_minutes: Minutes between two checkpoints within an epoch. Defaults to `5.0`.
        keep_checkpoints: Whether checkpoints stay after the run. Defaults to `False`.
        tensorboard: Whether to write TensorBoard events into the run's folder. Defaults to `False`.
        data_service: `grpc://HOST:PORT`, the dispatcher of a `tf.data` service that makes the batches.
            Requires an engine other than `"single"`, on TensorFlow. Defaults to `None`, each process makes
            its own.
        verbose: Keras' verbosity. Defaults to `"auto"`.
    """

    fresh: bool = False
    checkpoint_minutes: float = 5.0
    keep_checkpoints: bool = False
    tensorboard: bool = False
    data_service: str | None = None
    verbose: int | str = "auto"

    def __post_init__(self) -> None:
        check_weight("checkpoint_minutes", self.checkpoint_minutes)
        if self.data_service is not None and not self.data_service.startswith("grpc://"):
            raise ValueError(
                f"`data_service` must be grpc://HOST:PORT. Received: data_service={self.data_service!r}"
            )


def train_run(
    config: RunConfig,
    out: str | Path,
    data_dir: str | Path | None = None,
    options: RunOptions | None = None,
) -> dict[str, Any]:
    """Trains on the earlier rows of a data set, evaluates on the later ones, and writes a run.

    An unfinished run of the same configuration and rows in the folder resumes bit-identically from its last
    checkpoint.

    Args:
        config: The `RunConfig`.
        out: Folder of the run, created if missing. A finished run in it is replaced.
        data_dir: Folder of the data set's files. Defaults to `None`.
        options: `RunOptions`. Defaults to `None`, their defaults.

    Returns:
        The content of `metrics.json`: `split`, `unusual` (of the `train` and the `test` rows, see
        `unusual_values`), `tasks`, `routing`, `instance`, `history` (metrics by epoch), `parameters` (of
        `all` layers, and of the `experts` with routers or gates), `multiplications` (multiply-adds of the
        experts per row), `training` (epochs, selected epoch, seconds and rows per second) and `environment`.

    Raises:
        ValueError: The folder holds an unfinished run of other rows, or of another configuration, whose
            differing keys are named.
        NonFiniteError: A loss or gradient is not finite. The checkpoints stay.
    """
    interactions = config.load(data_dir)
    parts = cut(interactions, config.split)
    train, validation = hold_out(config, interactions, parts)
    return train_rows(config, RunRows(train, validation, parts.test, parts.description), out, options)


class RunRows(NamedTuple):
    """The rows of a run.

    Attributes:
        train: Training rows.
        validation: Rows to evaluate after each epoch; `None` for none.
        test: Rows to evaluate the trained model on.
        description: The split, as JSON values.
    """

    train: Rows
    validation: Rows | None
    test: Rows
    description: Mapping[str, Any]


def train_rows(
    config: RunConfig,
    rows: RunRows,
    out: str | Path,
    options: RunOptions | None = None,
    start: StartState | None = None,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """As `train_run`, on rows that are already loaded and split.

    Raises:
        LockedError: Another process trains into that folder.
    """
    out, engine = Path(out), engine or build_engine(config.distribution)
    # The processes of a training share the folder, in which only the chief writes.
    with locked(out) if engine.is_chief else contextlib.nullcontext():
        return _train_rows(config, rows, out, options or RunOptions(), start, engine)


def _train_rows(
    config: RunConfig, rows: RunRows, out: Path, options: RunOptions, start: StartState | None, engine: Engine
) -> dict[str, Any]:
    rows = rows._replace(train=rows.train.to_train())
    config = config.for_rows(len(rows.train))
    known = {**config.to_dict(), **engine.describe(), **({} if start is None else {"start": start.digest})}
    session = Checkpointer(out / CHECKPOINTS, known, options.checkpoint_minutes)
    routing = out / CHECKPOINTS / ROUTING
    if engine.is_chief:
        clear_partial(out)
        if options.fresh:
            _clear(session, routing)
    verbose = options.verbose if engine.is_chief else 0
    written = Outputs(out / TENSORBOARD if options.tensorboard else None, routing)
    outputs = written if engine.is_chief else Outputs()
    fitted = fit_ranker(
        config,
        rows.train,
        rows.validation,
        verbose,
        session=session,
        outputs=outputs,
        engine=engine,
        start=start,
        data_service=options.data_service,
    )
    metrics = _measure(fitted, rows, engine, start)
    state = learned(fitted.model) if engine.keeps_shapes else None  # all processes read, one writes
    if engine.is_chief:
        _write_run(out, fitted, config, metrics, rows.test, state)
        if not options.keep_checkpoints:
            _clear(session, routing)
    return metrics


def _clear(session: Checkpointer, routing: Path) -> None:
    routing.unlink(missing_ok=True)
    session.checkpoints.clear()


def _measure(fitted: Fitted, rows: RunRows, engine: Engine, start: StartState | None) -> dict[str, Any]:
    evaluated = evaluate(fitted.ranker, rows.test, engine)
    experts = fitted.ranker.get_layer("core").get_layer("experts")
    parts = {"train": rows.train, "test": rows.test}
    return {
        "split": dict(rows.description),
        "unusual": {part: unusual_values(fitted.schema, own) for part, own in parts.items()},
        **evaluated,
        "history": fitted.history,
        "parameters": {"all": fitted.ranker.count_params(), "experts": experts.count_params()},
        "multiplications": executed_multiplications(experts, evaluated["routing"].get("union_mean")),
        "training": _describe_training(fitted, len(rows.train), engine),
        "environment": describe_environment(),
        **({} if start is None else {"start": start.describe()}),
    }


def hold_out(config: RunConfig, rows: RowsT, parts: Split[RowsT]) -> tuple[RowsT, RowsT]:
    """Returns the training rows, and the validation rows: the test rows if none are held out.

    Held-out rows are the last before the test rows, and see the past that was known before the first of
    them, as test rows do. Only held-out rows select epochs, never the test rows.
    """
    choice = config.training.validation
    if choice is None:
        _check_unchosen(config)
        return parts.train, parts.test
    earlier = cut_plain(rows, config.split).train
    if choice.fraction is not None:
        if isinstance(earlier, Interactions):
            inner = cut(earlier, SplitConfig(test_fraction=choice.fraction))
            return inner.train, inner.test
        days = earlier.days()
        assert days is not None
        first = last_training_day(days, choice.fraction) + datetime.timedelta(days=1)
    else:
        assert choice.days is not None
        first = earlier.dates()[1] - datetime.timedelta(days=choice.days - 1)
    # On disk the past comes from all rows; no row sees later ones.
    whole = earlier if isinstance(earlier, Interactions) else rows
    held_out = cut(whole, SplitConfig(test_from=first, test_until=earlier.dates()[1]))
    return held_out.train, held_out.test


def _check_unchosen(config: RunConfig) -> None:
    training = config.training
    if training.select is not None or training.early_stopping is not None:
        raise ValueError(
            "`training.select` and `training.early_stopping` need `training.validation`: test rows must not "
            "select epochs. Received: validation=None"
        )


def unusual_values(schema: FeatureSchema, rows: Rows) -> dict[str, Counts]:
    """Counts the values that a ranker handles by a special rule, by feature.

    Returns:
        The counts of `schema.check_columns` that are not zero, such as `missing`, `unknown` and `infinite`.
    """
    odd: dict[str, Counts] = {}
    for _, piece in rows.pieces():
        for name, own in schema.check_columns(piece.columns()).items():
            for kind, count in own.items():
                if count and kind != "rows":
                    known = odd.setdefault(name, {})
                    known[kind] = known.get(kind, 0) + count
    return odd


def _describe_training(fitted: Fitted, rows: int, engine: Engine) -> dict[str, Any]:
    progress = fitted.progress
    return {
        "engine": engine.name,
        "replicas": engine.replicas,
        "rows": rows,
        "epochs": progress.epoch,
        "selected_epoch": None if progress.selected.epoch is None else progress.selected.epoch + 1,
        "seconds": round(progress.seconds, 3),
        "rows_per_second": round(rows * progress.epoch / progress.seconds, 1),
    }


def _write_run(
    out: Path,
    fitted: Fitted,
    config: RunConfig,
    metrics: Mapping[str, Any],
    test: Rows,
    state: Mapping[str, Any] | None,
) -> None:
    routing = out / CHECKPOINTS / ROUTING
    _, some = next(test.pieces())
    with whole_set(out, FILES) as write:
        write(MODEL, fitted.ranker.save)
        if state is not None:
            write(TRAINING, lambda path: np.savez(path, **state))
        if routing.is_file():
            write(ROUTING, lambda path: shutil.copyfile(routing, path))
        write(SCHEMA, lambda path: write_json(path, fitted.schema.to_config()))
        write(CONFIG, lambda path: write_json(path, config.to_dict()))
        write(ROWS, lambda path: write_rows(path, some.columns(), SAMPLE))
        write(METRICS, lambda path: write_json(path, metrics))


def evaluate_run(
    run: str | Path,
    data_dir: str | Path | None = None,
    first: datetime.date | None = None,
    last: datetime.date | None = None,
) -> dict[str, Any]:
    """Evaluates a run on rows dated `first` to `last`, with statistics frozen at `first`.

    Args:
        run: Folder of the run.
        data_dir: Folder of the data set's files, which include rows before `first`. Defaults to `None`.
        first: First date. Defaults to `None`, the test rows of the run's `split`.
        last: Last date. Defaults to `None`, the last one present.

    Returns:
        As in `metrics.json`: `split`, `unusual` (of the test rows), `tasks`, `routing`, `instance`.
    """
    ranker, config = load_run(run)
    dates = config.split if (first, last) == (None, None) else SplitConfig(None, first, last)
    parts = cut(config.load(data_dir), dates)
    schema = load_schema(run)  # `features: auto` may choose other features from later rows
    test = parts.test.with_schema(schema)
    unusual = {"test": unusual_values(schema, test)}
    return {"split": dict(parts.description), "unusual": unusual, **evaluate(ranker, test)}
