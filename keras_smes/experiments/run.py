"""Does the missing runs of an experiment and writes the results: JSON, a table in Markdown, plots."""

import contextlib
import errno
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_smes.console import show
from keras_smes.environment import describe_environment
from keras_smes.experiments.config import Experiment, Planned
from keras_smes.experiments.summary import summarize
from keras_smes.experiments.table import to_markdown
from keras_smes.files import named_errors, write_text
from keras_smes.locks import locked
from keras_smes.validation import check_count

RUNS, RESULTS, TABLE = "runs.jsonl", "results.json", "README.md"

Lines = dict[str, dict[str, Any]]


def run_experiment(
    experiment: Experiment,
    out: str | Path,
    data_dir: str | Path | None = None,
    part: tuple[int, int] = (0, 1),
    figures: bool = True,
) -> dict[str, Any]:
    """Does the runs that `out` lacks, and writes the results of all that are finished.

    A killed run leaves nothing and is repeated; data are read and preprocessed once.

    Args:
        experiment: The `Experiment`.
        out: Folder of its results.
        data_dir: Folder of the data set's files. Defaults to `None`.
        part: `(i, n)`: does the runs of every n-th seed, from the i-th on, so that n processes share them.
            Defaults to `(0, 1)`, all.
        figures: Whether to draw plots, which needs the extra `viz`. Defaults to `True`.

    Returns:
        What is in `results.json`; see `summarize`.

    Raises:
        LockedError: Another process does the runs of one of these seeds.

    Example:

    >>> results = run_experiment(Experiment.read("experiments/small.yaml"), "experiments/small")
    """
    out = Path(out)
    number, parts = check_part(part)
    mine = [run for run in experiment.runs() if experiment.seeds.index(run.config.seed) % parts == number]
    finished = read_runs(out / RUNS)
    if any(planned.key not in finished for planned in mine):
        with contextlib.ExitStack() as held:
            for seed in dict.fromkeys(run.config.seed for run in mine):
                held.enter_context(locked(out, f"seed-{seed}"))
            _do(experiment, mine, out / RUNS, data_dir)
    return write_report(experiment, out, figures)


def check_part(part: Sequence[int]) -> tuple[int, int]:
    """Returns `part` if it is a number below another."""
    number, parts = check_count("part", part[0], minimum=0), check_count("part", part[1])
    if number >= parts:
        raise ValueError(f"`part` must be (i, n) with i below n. Received: part={tuple(part)}")
    return number, parts


def write_report(experiment: Experiment, out: str | Path, figures: bool = True) -> dict[str, Any]:
    """Writes the results of the finished runs, as JSON, as a table and as plots.

    Args:
        experiment: The `Experiment`.
        out: Folder of its results.
        figures: As for `run_experiment`. Defaults to `True`.

    Returns:
        The results, as `summarize` returns them.

    Raises:
        ValueError: No run is finished.
    """
    out = Path(out)
    # A process of another part may write it too: the last one must have read all runs.
    with locked(out, "report", wait=True):
        finished = read_runs(out / RUNS)
        lines = [finished[planned.key] for planned in experiment.runs() if planned.key in finished]
        if not lines:
            raise ValueError(f"{out / RUNS} must hold finished runs of {experiment.name}. Received: none")
        results = summarize(experiment, lines)
        write_text(out / RESULTS, json.dumps(results, indent=1) + "\n")
        write_text(out / TABLE, to_markdown(results))
        if figures:
            from keras_smes.experiments.figures import draw

            draw(results, out)
    return results


def read_runs(path: Path) -> Lines:
    """Returns the finished runs of a file by key, without a line that a kill cut short."""
    if not path.exists():
        return {}
    lines: Lines = {}
    for text in path.read_text(encoding="utf-8").split("\n"):  # U+2028 ends no line of JSON
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        lines[line["key"]] = line
    return lines


def append_run(path: Path, line: Mapping[str, Any]) -> None:
    """Adds a line in one write, on the disk when this returns, apart from one that was cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_torn = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    text = "\n" * is_torn + json.dumps(line) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        with named_errors(path):
            if os.write(file, text.encode()) < len(text.encode()):  # the disk is full behind what was written
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file)
    finally:
        os.close(file)


def _do(experiment: Experiment, planned: Sequence[Planned], path: Path, data_dir: Any) -> None:
    from keras_smes.experiments.measure import Contender, oracle_tasks, read_rows

    rows = read_rows(experiment, data_dir)
    about = {"split": dict(rows.parts.description), "environment": describe_environment()}
    if experiment.data == "simulated":
        about["oracle"] = oracle_tasks(rows.parts.test)
    finished = read_runs(path)
    missing = [run for run in planned if run.key not in finished]
    for label in dict.fromkeys(run.label for run in missing):
        runs = [run for run in missing if run.label == label]
        contender = Contender(runs[0].config, rows)
        for run in runs:
            start, seed = time.monotonic(), run.config.seed
            # Once a model is enough for what takes a graph of its own.
            measured = contender.measure(seed, experiment.candidates if run is runs[0] else None)
            names = {
                "key": run.key,
                "label": label,
                "seed": seed,
                "config": run.config.for_rows(rows.prepared.rows.num_rows).to_dict(),
            }
            append_run(path, {**names, **measured, **about})
            show(f"{label}, seed {seed}: {time.monotonic() - start:.0f} s")
