"""Progressive validation: trains on a day, tests on the next, and continues from there.

The folder holds one run per day, named by its date, with `day.json`, its row of the table; `results.json`,
all rows; `README.md`, the table; and `progress.png`, the metrics by day.
"""

import dataclasses
import datetime
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras

from keras_smes.data import Split
from keras_smes.data.rows import Rows
from keras_smes.data.split_config import SplitConfig, cut_plain, with_past
from keras_smes.distribution.choose import engine_name
from keras_smes.files import read_json
from keras_smes.incremental.export import export_if_good
from keras_smes.incremental.quality_gate import QualityGate
from keras_smes.incremental.report import write_report
from keras_smes.incremental.run import grown
from keras_smes.incremental.warm_start import WarmStart, digest_of
from keras_smes.locks import locked
from keras_smes.training.config import RunConfig, differing_keys
from keras_smes.training.evaluate import evaluate
from keras_smes.training.run_folder import METRICS, load_config, load_run, write_json
from keras_smes.training.runs import RunOptions, RunRows, train_rows

DAY = "day.json"


class Export(NamedTuple):
    """Export of models that pass a gate.

    Attributes:
        model_folder: Folder of the model's versions.
        gate: The `QualityGate`.
    """

    model_folder: str | Path
    gate: QualityGate


@dataclasses.dataclass(frozen=True)
class Days:
    """The days to train on; each is tested on the next.

    Args:
        first: The first day. Without a run to continue from, its training includes all earlier rows. Defaults
            to `None`, the first one present.
        last: The last test day. Defaults to `None`, the last one present.
    """

    first: datetime.date | None = None
    last: datetime.date | None = None

    def pairs(self, rows: Rows) -> list[tuple[datetime.date, datetime.date]]:
        """Returns the days with rows, each with the next one.

        Raises:
            ValueError: There are fewer than two.
        """
        days = rows.days()
        present = list(days or ())
        chosen = [day for day in present if (self.first or day) <= day <= (self.last or day)]
        if days is None:
            raise ValueError(
                f"Progressive validation needs rows with `time` or `date`. Received: {rows.name} without"
            )
        if len(chosen) < 2:
            raise ValueError(
                f"Two days with rows are needed, of {present[0]} to {present[-1]}. "
                f"Received: first={self.first}, last={self.last}"
            )
        return list(itertools.pairwise(chosen))


def validate_progressively(
    config: RunConfig,
    out: str | Path,
    days: Days | None = None,
    data_dir: str | Path | None = None,
    *,
    run: str | Path | None = None,
    export: Export | None = None,
    options: RunOptions | None = None,
    figures: bool = True,
) -> dict[str, Any]:
    """Trains on each day from the previous day's model, tests on the next day, and writes the results.

    Finished days are kept; a killed day resumes from its last checkpoint. As always, statistics and histories
    of a row come from the days before it.

    Args:
        config: The `RunConfig` of each day's training, without `split` and `training.validation`.
        out: Folder of the results.
        days: The `Days`. Defaults to `None`, all.
        data_dir: Folder of the data set's files. Defaults to `None`.
        run: Folder of a finished run to continue from. Defaults to `None`: the first day starts afresh.
        export: Where to export each day's model that passes a gate on the next day. Defaults to `None`,
            nowhere.
        options: `RunOptions` of each day. Defaults to `None`, their defaults.
        figures: Whether to plot the metrics, which needs the extra `viz`. Defaults to `True`.

    Returns:
        The content of `results.json`: `days`, each with `day`, `test_day`, `rows`, `new` (what has grown),
        `tasks` (the metrics), `stale` (those of the first model, never retrained), `seconds` and `export`.

    Raises:
        ValueError: Fewer than two days; a day in `out` is of another configuration, continues another run, or
            has other rows; an engine of several processes.
        LockedError: Another process writes into `out`.
    """
    if (name := engine_name(config.distribution)) in ("multi_worker", "parameter_server"):
        raise ValueError(
            "Progressive validation needs an engine of one process: use 'single' or 'mirrored', or train "
            f"each day with `keras-smes train --from`. Received: engine={name!r}"
        )
    if config.training.validation is not None:
        raise ValueError("`training.validation` must be left out: the next day validates. Received: one")
    if stated := config.split.given():
        raise ValueError(
            "`split` must be left out: each day is tested on the next. Use `days` to choose days. "
            f"Received: split={stated}"
        )
    interactions = config.load(data_dir)
    if run is not None:
        config, interactions = grown(config, WarmStart.read(run), interactions)
    rows = with_past(interactions)
    steps = _steps((days or Days()).pairs(rows), Path(out), run)
    with locked(out):
        for step in steps:  # before the first is trained
            _check_same(step, config, rows)
        lines: list[dict[str, Any]] = []
        for step in steps:
            lines.append(_finished(step, export) or _do(config, step, rows, export, options))
            write_report({"days": lines}, Path(out), figures)
    return {"days": lines}


class _Step(NamedTuple):
    """Folder of a day, the previous one or the run to continue from, the first one, and the days."""

    folder: Path
    before: Path | None
    first: Path
    day: datetime.date
    test_day: datetime.date


def _steps(
    pairs: Sequence[tuple[datetime.date, datetime.date]], out: Path, run: str | Path | None
) -> list[_Step]:
    folders = [out / day.isoformat() for day, _ in pairs]
    befores = [None if run is None else Path(run), *folders]
    first = befores[0] or folders[0]
    return [
        _Step(folder, before, first, *days)
        for folder, before, days in zip(folders, befores[:-1], pairs, strict=True)
    ]


def _finished(step: _Step, export: Export | None) -> dict[str, Any] | None:
    """The table row of a finished day."""
    line, metrics = _read(step.folder / DAY), _read(step.folder / METRICS)
    if line is None or metrics is None or line["tasks"] != metrics["tasks"]:
        return None
    return line if export is None or line["export"] is not None else None


def _do(
    config: RunConfig, step: _Step, rows: Rows, export: Export | None, options: RunOptions | None
) -> dict[str, Any]:
    keras.backend.clear_session()  # yesterday's models
    parts = _cut(rows, step)
    metrics = _read(step.folder / METRICS) or _train(config, step, parts, rows, options)
    stale = evaluate(load_run(step.first)[0], parts.test)["tasks"]
    line = {
        "day": step.day.isoformat(),
        "test_day": step.test_day.isoformat(),
        "rows": len(parts.train),
        "new": metrics.get("start", {}).get("new", {}),
        "tasks": metrics["tasks"],
        "stale": stale,
        "seconds": metrics["training"]["seconds"],
        "export": None,
    }
    if export is not None:
        verdict, folder = export_if_good(step.folder, export.model_folder, export.gate, parts.test)
        version = None if folder is None else int(folder.name)
        line["export"] = {"version": version, "reason": verdict.reason}
    write_json(step.folder / DAY, line)
    return line


def _of_day(config: RunConfig, step: _Step) -> RunConfig:
    """The configuration of a day's run, with its test day."""
    return dataclasses.replace(config, split=SplitConfig(step.day, step.test_day, step.test_day))


def _cut(rows: Rows, step: _Step) -> Split[Any]:
    first = None if step.before is None else step.day
    return cut_plain(rows.between(first, step.test_day), SplitConfig(step.day, step.test_day))


def _train(
    config: RunConfig, step: _Step, parts: Split[Any], rows: Rows, options: RunOptions | None
) -> dict[str, Any]:
    start = None
    if step.before is not None:
        start = dataclasses.replace(WarmStart.read(step.before), seen=rows.between(None, step.day))
    cut = RunRows(parts.train, None, parts.test, parts.description)
    return train_rows(_of_day(config, step), cut, step.folder, options, start)


def _check_same(step: _Step, config: RunConfig, rows: Rows) -> None:
    """Rejects a finished day of another configuration, start, or rows."""
    metrics = _read(step.folder / METRICS)
    if metrics is None:
        return
    theirs = dataclasses.replace(load_config(step.folder), memory=config.memory)  # without effect on results
    ours = _of_day(config, step).for_rows(metrics["training"]["rows"])
    if differing := differing_keys(theirs.to_dict(), ours.to_dict()):
        raise ValueError(
            f"{step.folder} is of another configuration: use another folder, with --from {step.folder}. "
            f"Received: differing keys {differing}"
        )
    start, before = metrics.get("start", {}), None if step.before is None else _digest(step.before)
    if start.get("digest") != before:
        raise ValueError(
            f"{step.folder} must continue from {step.before or 'no run'}: use another folder. "
            f"Received: one from {start.get('run', 'no run')}, digest {start.get('digest')}, not {before}"
        )
    description = json.loads(json.dumps(dict(_cut(rows, step).description)))
    if differing := differing_keys(metrics["split"], description):
        raise ValueError(
            f"{step.folder} was trained or tested on other rows: use another folder. "
            f"Received: differing {differing}"
        )


def _digest(run: Path) -> str | None:
    """The digest of a run; unfinished runs match no finished day."""
    return digest_of(run) if (run / METRICS).is_file() else "unfinished"


def _read(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def last_gate_failed(results: Mapping[str, Any]) -> bool:
    """Returns whether the last day's model failed the gate."""
    export = results["days"][-1]["export"]
    return export is not None and export["version"] is None
