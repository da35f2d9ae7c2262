"""Publishes a finished run, whatever backend it was trained on."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from keras_smes.export.onnx import ExportedOnnx, export_onnx_version
from keras_smes.export.pipeline import Exported, export_version
from keras_smes.export.publish import newest
from keras_smes.features.schema import FeatureSchema
from keras_smes.files import read_json

MODEL, SCHEMA, FACTS = "model.keras", "schema.json", ("config", "metrics")
IN_TENSORFLOW = """
import os, pickle, sys
output = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # keeps printed text out of the result
from keras_smes.export import run
function, arguments = pickle.load(sys.stdin.buffer)
try:
    result = getattr(run, function)(**arguments)
except (ValueError, OSError, ImportError) as error:
    result = error
with output:
    pickle.dump(result, output)
"""


def export_run(run: str | Path, model_folder: str | Path, xla: bool = False, **options: Any) -> Exported:
    """Exports the model of a run.

    On another backend than TensorFlow, a new process with the TensorFlow backend loads the `.keras` file and
    exports it.

    Args:
        run: Folder with `model.keras`, and optionally `schema.json` from `schema.to_config()`. Without a
            schema, all features belong to the candidates and are required. `config.json` and `metrics.json`
            go into the model card.
        model_folder: Folder of the model's versions.
        xla: Whether XLA compiles the ranker's core, for servers with XLA enabled. Defaults to `False`.
        **options: `with_features`, as for `export_folders`, and further arguments of `export_version`.

    Returns:
        An `Exported`.

    Raises:
        FileNotFoundError: The folder is not that of a run.
        ValueError, FileExistsError: As `export_version`.
    """
    return export_folders(run, {model_folder: xla}, **options)[0]


def export_folders(
    run: str | Path,
    folders: Mapping[str | Path, bool],
    with_features: str | Path | None = None,
    **options: Any,
) -> list[Exported]:
    """Exports the model of a run to several folders, such as with and without XLA: to all of them or none.

    Args:
        run: As for `export_run`.
        folders: Folders of versions, and for each whether XLA compiles the core.
        with_features: A folder from `keras-smes features`, whose newest version goes into the graph, or the
            folder of one version. Defaults to `None`: requests hold statistics and histories.
        **options: Further arguments of `export_version`.

    Returns:
        An `Exported` for each folder.

    Raises:
        FileNotFoundError: The folder is not that of a run, or `with_features` has no version.
        ValueError, FileExistsError: As `export_version`.
    """
    run = Path(run)
    _check_finished(run)
    if keras.backend.backend() != "tensorflow":
        return list(
            _in_tensorflow(export_folders, run=run, folders=folders, with_features=with_features, **options)
        )
    ranker, facts = _load(run)
    if with_features is not None:
        options["tables"] = _read_tables(Path(with_features))
    made: list[Exported] = []

    def export_from(place: int) -> None:
        """Exports to a folder; the next ones follow after its verification, before its publication."""
        folder, xla = list(folders.items())[place]
        rest = (lambda: export_from(place + 1)) if place + 1 < len(folders) else None
        made.append(
            export_version(ranker, folder, _schema(run), xla=xla, facts=facts, before=rest, **options)
        )

    try:
        export_from(0)
    except BaseException:
        for other in made:
            shutil.rmtree(other.folder)
        raise
    return made[::-1]


def export_run_to_onnx(run: str | Path, model_folder: str | Path, **options: Any) -> ExportedOnnx:
    """Exports the model of a run to ONNX, for ONNX Runtime and Triton.

    Args:
        run: As for `export_run`.
        model_folder: Folder of the model in a repository of Triton.
        **options: Further arguments of `export_onnx_version`.

    Returns:
        An `ExportedOnnx`.

    Raises:
        FileNotFoundError: The folder is not that of a run.
        ImportError, ValueError, FileExistsError: As `export_onnx_version`.
    """
    run = Path(run)
    _check_finished(run)
    if keras.backend.backend() != "tensorflow":
        return _in_tensorflow(export_run_to_onnx, run=run, model_folder=model_folder, **options)
    ranker, facts = _load(run)
    return export_onnx_version(ranker, model_folder, _schema(run), facts=facts, **options)


def _load(run: Path) -> tuple[keras.Model, dict[str, Any]]:
    """The ranker of a run, and the entries of its files for the model card."""
    import keras_smes.baselines
    import keras_smes.ranker  # noqa: F401  registers their layers

    ranker = keras.models.load_model(run / MODEL, compile=False)
    files = {name: run / f"{name}.json" for name in FACTS}
    return ranker, {name: read_json(path) for name, path in files.items() if path.is_file()}


def _read_tables(folder: Path) -> Any:
    from keras_smes.data import FeatureTables

    return FeatureTables.read(newest(folder) or folder)


def _check_finished(run: Path) -> None:
    """Accepts a model alone; a run needs `metrics.json`, which is written last."""
    config, metrics = (f"{name}.json" for name in FACTS)
    needed = (MODEL, metrics) if (run / config).is_file() else (MODEL,)
    for name in needed:
        if not (run / name).is_file():
            raise FileNotFoundError(
                f"`run` must be the folder of a finished run. Received: {run} without {name}"
            )


def _schema(run: Path) -> FeatureSchema | None:
    path = run / SCHEMA
    return FeatureSchema.from_config(read_json(path)) if path.is_file() else None


def _in_tensorflow(function: Callable[..., Any], **arguments: Any) -> Any:
    """Calls a function of this module in a process with the TensorFlow backend."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", IN_TENSORFLOW]
    call = pickle.dumps((function.__name__, arguments))
    process = subprocess.run(command, input=call, stdout=subprocess.PIPE, env=environment, check=True)
    result = pickle.loads(process.stdout)
    if isinstance(result, Exception):
        raise result
    return result
