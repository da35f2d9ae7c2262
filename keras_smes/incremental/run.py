"""Continues a run: `keras-smes train --from RUN`."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_smes.baselines import model_options
from keras_smes.data import Split
from keras_smes.data.rows import RowsT
from keras_smes.data.split import describe_part
from keras_smes.data.split_config import cut, of_every_day
from keras_smes.distribution import build_engine
from keras_smes.incremental.tasks import weigh_tasks
from keras_smes.incremental.warm_start import WarmStart
from keras_smes.tasks import BinaryTask
from keras_smes.training.config import RunConfig, merged
from keras_smes.training.run_folder import load_config
from keras_smes.training.runs import RunOptions, RunRows, hold_out, train_rows


def continue_run(
    run: str | Path,
    out: str | Path,
    changes: Mapping[str, Any] | None = None,
    data_dir: str | Path | None = None,
    from_date: datetime.date | None = None,
    options: RunOptions | None = None,
) -> dict[str, Any]:
    """Trains a run that continues a finished one on newer rows, and evaluates it on later ones.

    Args:
        run: Folder of the finished run.
        out: Folder of the new run.
        changes: `RunConfig` values to change, merged recursively, such as `{"experts": {"num_experts": 32}}`;
            `data_options` may add tasks. The run's `split` is not inherited: without one, the last day
            present is for tests and all days before it for training. Defaults to `None`.
        data_dir: Folder of the data set's files, older rows included, which are the past of newer ones.
            Defaults to `None`.
        from_date: First date of the training rows. Defaults to `None`, all until the test rows.
        options: `RunOptions`. Defaults to `None`, their defaults.

    Returns:
        The content of `metrics.json`; `start` names the continued run and what has grown.

    Raises:
        FileNotFoundError: `run` is not the folder of a finished run.
        ValueError: `out` is that folder; features or tasks of the run are missing; fewer experts; the engine
            is `"parameter_server"`.
    """
    if Path(run).resolve() == Path(out).resolve():
        raise ValueError(f"`out` must be another folder than that of the run. Received: out={out}")
    config = RunConfig.from_dict(successor_values(load_config(run), changes or {}))
    engine = build_engine(config.distribution)  # workers must connect before TensorFlow runs anything
    start = WarmStart.read(run)
    loaded = config.load(data_dir)
    config, interactions = grown(config, start, loaded)
    if not config.split.given():
        config = dataclasses.replace(config, split=of_every_day(interactions))
    parts = cut(interactions, config.split)
    train, validation = hold_out(config, interactions, parts)
    newer = train if from_date is None else _newer(train, from_date, parts)
    description = {**parts.description, "train": describe_part(newer)}
    rows = RunRows(newer, validation, parts.test, description)
    return train_rows(config, rows, out, options, dataclasses.replace(start, seen=train), engine)


def successor_values(config: RunConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration values of a successor, without the `split` of older rows."""
    return merged({**config.to_dict(), "split": {}}, changes)


def _newer(train: RowsT, from_date: datetime.date, parts: Split[RowsT]) -> RowsT:
    last = None if train.date is None else train.dates()[1]
    if last is not None and from_date > last:
        raise ValueError(
            "`from_date` must be a training day, before validation and test days: use a later `test_from`, "
            f"or more days. Received: from_date={from_date}, rows to train on until {last}, "
            f"test rows from {parts.frozen_from}"
        )
    return train.between(from_date, None)


def grown(config: RunConfig, start: WarmStart, rows: RowsT) -> tuple[RunConfig, RowsT]:
    """Returns a configuration and rows in which new tasks leave the old ones' inputs unchanged.

    New tasks get weight 0 in the joint choice, unless weights are configured. Their rates don't become
    features.
    """
    old, new = [task.name for task in start.tasks], rows.task_names
    if set(new) == set(old):
        return _weighed(config, start, old, new), rows
    events = [task.label for task in start.tasks if isinstance(task, BinaryTask)]
    rates = start.config.data_options.get("rates") or list(dict.fromkeys(events))
    options = {"rates": rates, **config.data_options}
    config = _weighed(dataclasses.replace(config, data_options=options), start, old, new)
    return config, rows.with_rates(options["rates"])


def _weighed(config: RunConfig, start: WarmStart, old: Sequence[str], new: Sequence[str]) -> RunConfig:
    if "task_weights" not in model_options(config.model):
        return config
    experts = weigh_tasks(config.experts, start.config.experts, old, new)
    return dataclasses.replace(config, experts=experts)
