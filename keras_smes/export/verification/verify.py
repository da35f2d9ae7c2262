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

from keras_smes.export.graph.endpoints import FUSED, ORDER
from keras_smes.export.graph.signature_defs import read_signatures
from keras_smes.export.verification import c_runtime
from keras_smes.export.verification.parity_cases import ParityCase

TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Proof:
    """Result of a verification.

    Args:
        runtime: Version of the C++ runtime.
        requests: Number of requests.
        difference: Largest difference from Keras, relative where a value is above 1.
    """

    runtime: str
    requests: int
    difference: float


def verify(
    folder: str | Path,
    cases: Sequence[ParityCase],
    xla: bool = False,
    runtime: str | Path | None = None,
    tolerance: float = TOLERANCE,
) -> Proof:
    """Runs a SavedModel in a fresh process, through the C++ loader, and compares its outputs with Keras.

    The process has neither keras_smes, Keras nor TensorFlow's Python. As in a stock server, XLA is disabled
    unless `xla` is true.

    Args:
        folder: Folder of the SavedModel.
        cases: The `ParityCase`s.
        xla: Whether the graph needs XLA. Defaults to `False`.
        runtime: Folder of an installed `tensorflow` package, such as 2.20.0. Defaults to `None`, the running
            one.
        tolerance: Largest accepted difference. Defaults to `1e-5`.

    Raises:
        ValueError: An output differs or isn't finite; the message names signature and output. Or `runtime`
            is no such folder, or the C++ runtime can't load or run the graph.
    """
    signatures = read_signatures(Path(folder))
    runs = [_run(signatures[case.signature], case) for case in cases]
    libraries = Path(tf.sysconfig.get_lib() if runtime is None else runtime)
    if not list(libraries.glob("libtensorflow_cc*")):
        raise ValueError(f"`runtime` must be the folder of an installed tensorflow. Received: {libraries}")
    request = {"model": os.fspath(folder), "runs": runs, "disable_xla": not xla}
    result = _run_in_fresh_process(libraries, request)
    differences = [
        compare(case, dict(zip(sorted(case.expected), outputs, strict=True)), tolerance)
        for case, outputs in zip(cases, result["outputs"], strict=True)
    ]
    return Proof(result["version"], len(differences), max(differences, default=0.0))


def _run(signature: Any, case: ParityCase) -> tuple[dict[str, np.ndarray], list[str]]:
    if set(signature.outputs) != set(case.expected):
        raise ValueError(
            f"Signature {case.signature!r} must have outputs {sorted(case.expected)}. "
            f"Received: {sorted(signature.outputs)}"
        )
    # As in a server, defaults come from the signature.
    defaults = {name: tf.make_ndarray(proto) for name, proto in signature.defaults.items()}
    values = {**defaults, **case.inputs}
    feeds = {info.name: values[alias] for alias, info in signature.inputs.items()}
    return feeds, [signature.outputs[alias].name for alias in sorted(case.expected)]


def _run_in_fresh_process(libraries: Path, request: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-I", c_runtime.__file__, os.fspath(libraries)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run(
        command, input=pickle.dumps(request), capture_output=True, env=environment, check=False
    )
    if process.returncode != 0:
        reason = process.stderr.decode(errors="replace").strip() or f"exit code {process.returncode}"
        raise ValueError(f"The export doesn't run in TensorFlow's C++ runtime: {reason}")
    return dict(pickle.loads(process.stdout))


def compare(case: ParityCase, served: dict[str, np.ndarray], tolerance: float = TOLERANCE) -> float:
    """Returns the difference of outputs from Keras, relative where a value is above 1.

    Raises:
        ValueError: It exceeds `tolerance`; the message names signature and output.
    """
    worst = 0.0
    for name, expected in case.expected.items():
        if name == ORDER and case.signature == "rank":
            # Nearly equal scores may swap places: compare with the order of the served scores.
            expected = np.argsort(-served[FUSED], kind="stable")
        difference = _difference(served[name], expected)
        if not difference <= tolerance:
            raise ValueError(
                f"Signature {case.signature!r} must agree with Keras within {tolerance}. "
                f"Received: output {name!r} of {case.rows} rows off by {difference}"
            )
        worst = max(worst, difference)
    return worst


def _difference(served: np.ndarray, expected: np.ndarray) -> float:
    if served.shape != expected.shape:
        return float("inf")
    if served.dtype != np.float32:
        return 0.0 if bool(np.all(served == expected)) else float("inf")
    with np.errstate(invalid="ignore"):  # NaN and infinity differ by NaN, which fails the comparison
        off = np.abs(served - expected) / np.maximum(1.0, np.abs(expected))
    return float(np.max(off, initial=0.0))
