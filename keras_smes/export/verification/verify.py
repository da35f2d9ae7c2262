"""Verifies the parity of an export with Keras, in a process that imports neither Keras nor this package."""

import dataclasses
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import tensor_util

from keras_smes.export.graph.endpoints import FUSED, ORDER
from keras_smes.export.graph.signature_defs import read_signatures
from keras_smes.export.verification import c_runtime
from keras_smes.export.verification.parity_cases import Question

TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Proof:
    """What was seen.

    Args:
        runtime: Version of the C++ runtime.
        requests: How many were answered.
        difference: Largest difference from Keras, relative where a value is above 1.
    """

    runtime: str
    requests: int
    difference: float


def prove(
    folder: str | Path,
    questions: Sequence[Question],
    xla: bool = False,
    runtime: str | Path | None = None,
    tolerance: float = TOLERANCE,
) -> Proof:
    """Asks a SavedModel in a fresh process, through the C++ loader, and compares with Keras' answers.

    The process has neither keras_smes, Keras nor TensorFlow's Python, and XLA is disabled in it, as in a
    stock server, unless `xla` is true.

    Args:
        folder: Of the SavedModel.
        questions: What to ask, and the answers.
        xla: Whether the graph needs XLA. Defaults to `False`.
        runtime: Folder of an installed `tensorflow` package, such as one of 2.20.0. Defaults to `None`,
            the one that runs here.
        tolerance: Most that an answer may differ. Defaults to `1e-5`.

    Returns:
        A `Proof`.

    Raises:
        ValueError: An answer differs, or isn't finite; the text names signature and output. Or `runtime`
            is no such folder. Or the graph can't be loaded or run; with the text of the C++ runtime.
    """
    signatures = read_signatures(Path(folder))
    runs = [_run(signatures[question.signature], question) for question in questions]
    libraries = Path(tf.sysconfig.get_lib() if runtime is None else runtime)
    if not list(libraries.glob("libtensorflow_cc*")):
        raise ValueError(f"`runtime` must be the folder of an installed tensorflow. Received: {libraries}")
    asked = {"model": os.fspath(folder), "runs": runs, "disable_xla": not xla}
    answered = _ask_in_fresh_process(libraries, asked)
    differences = [
        compare(question, dict(zip(sorted(question.answer), outputs, strict=True)), tolerance)
        for question, outputs in zip(questions, answered["outputs"], strict=True)
    ]
    return Proof(answered["version"], len(differences), max(differences, default=0.0))


def _run(signature: Any, question: Question) -> tuple[dict[str, np.ndarray], list[str]]:
    if set(signature.outputs) != set(question.answer):
        raise ValueError(
            f"Signature {question.signature!r} must put out {sorted(question.answer)}. "
            f"Received: {sorted(signature.outputs)}"
        )
    # A server does the same: what a request leaves out comes from the signature.
    defaults = {name: tensor_util.MakeNdarray(proto) for name, proto in signature.defaults.items()}
    values = {**defaults, **question.inputs}
    feeds = {info.name: values[alias] for alias, info in signature.inputs.items()}
    return feeds, [signature.outputs[alias].name for alias in sorted(question.answer)]


def _ask_in_fresh_process(libraries: Path, asked: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-I", c_runtime.__file__, os.fspath(libraries)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run(
        command, input=pickle.dumps(asked), capture_output=True, env=environment, check=False
    )
    if process.returncode != 0:
        reason = process.stderr.decode(errors="replace").strip() or f"exit code {process.returncode}"
        raise ValueError(f"The export doesn't run in TensorFlow's C++ runtime: {reason}")
    return dict(pickle.loads(process.stdout))


def compare(question: Question, served: dict[str, np.ndarray], tolerance: float = TOLERANCE) -> float:
    """Returns by how much an answer differs from Keras', relative where a value is above 1.

    Raises:
        ValueError: It differs by more than `tolerance`; the text names signature and output.
    """
    worst = 0.0
    for name, expected in question.answer.items():
        if name == ORDER and question.signature == "rank":
            # Scores that differ in the last digit may swap places: what counts is the order of those served.
            expected = np.argsort(-served[FUSED], kind="stable")
        difference = _difference(served[name], expected)
        if not difference <= tolerance:
            raise ValueError(
                f"Signature {question.signature!r} must answer as Keras does, within {tolerance}. "
                f"Received: output {name!r} of {question.rows} rows off by {difference}"
            )
        worst = max(worst, difference)
    return worst


def _difference(served: np.ndarray, expected: np.ndarray) -> float:
    if served.shape != expected.shape:
        return float("inf")
    if served.dtype != np.float32:
        return 0.0 if bool(np.all(served == expected)) else float("inf")
    with np.errstate(invalid="ignore"):  # NaN and infinity are off by NaN, which is no number at most 1e-5
        off = np.abs(served - expected) / np.maximum(1.0, np.abs(expected))
    return float(np.max(off, initial=0.0))
