"""Exports a run if it passes its quality gate."""

from pathlib import Path
from typing import Any, NamedTuple

from keras_smes.data.rows import Rows
from keras_smes.data.split_config import cut
from keras_smes.export import export_run
from keras_smes.export.model_card import read_card
from keras_smes.export.publish import newest
from keras_smes.incremental.quality_gate import QualityGate, Verdict, metrics_of_newest
from keras_smes.training.run_folder import load_config, load_metrics


class Gated(NamedTuple):
    """Result of a gated export.

    Attributes:
        verdict: The verdict of the gate.
        folder: The version's directory; `None` if the gate failed.
    """

    verdict: Verdict
    folder: Path | None


def export_if_good(
    run: str | Path, model_folder: str | Path, gate: QualityGate, rows: Rows, **options: Any
) -> Gated:
    """Exports a run with `export_run` if the gate passes; otherwise leaves the folder unchanged.

    A run that already is the newest version is not judged again, so a killed call can be repeated.

    Args:
        run: Folder of the run.
        model_folder: Folder of the model's versions.
        gate: The `QualityGate`.
        rows: The test rows of the run.
        **options: As for `export_run`.

    Returns:
        A `Gated`.
    """
    metrics = load_metrics(run)
    served = newest(Path(model_folder))
    if served is not None and read_card(served).get("metrics") == metrics:
        return Gated(Verdict(True, "exported already"), served)
    previous = None if gate.within is None else metrics_of_newest(model_folder, rows)
    verdict = gate.judge(metrics["tasks"], previous)
    exported = export_run(run, model_folder, **options).folder if verdict.passed else None
    return Gated(verdict, exported)


def judge_run(
    run: str | Path, model_folder: str | Path, gate: QualityGate, data_dir: str | Path | None = None
) -> Verdict:
    """Judges a run by the test rows of its `split`.

    Args:
        run: Folder of the run.
        model_folder: Folder of the model's versions.
        gate: The `QualityGate`.
        data_dir: Folder of the data set's files, which `gate.within` needs. Defaults to `None`.

    Returns:
        The `Verdict` of the gate.
    """
    previous = None
    if gate.within is not None:
        config = load_config(run)
        parts = cut(config.load(data_dir), config.split)
        previous = metrics_of_newest(model_folder, parts.test)
    return gate.judge(load_metrics(run)["tasks"], previous)
