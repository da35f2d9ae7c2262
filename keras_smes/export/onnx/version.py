"""Export to ONNX: converts, verifies in ONNX Runtime, describes, and only then publishes."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_smes.export.graph.endpoints import Fusion
from keras_smes.export.graph.inputs import named_model, served_inputs
from keras_smes.export.model_card import ranker_facts, write_card
from keras_smes.export.onnx.convert import to_onnx
from keras_smes.export.onnx.triton import triton_config
from keras_smes.export.publish import publish
from keras_smes.export.verification.parity_cases import ParityCase, make_parity_cases
from keras_smes.export.verification.verify import Proof, compare
from keras_smes.features.schema import FeatureSchema
from keras_smes.files import write_text
from keras_smes.validation import check_counts
from keras_smes_serving.server.runtime.servable import DEFAULT_SIGNATURE

MODEL, CONFIG = "model.onnx", "config.pbtxt"
BATCH_SIZES = (1, 7, 64, 512)


@dataclasses.dataclass(frozen=True)
class ExportedOnnx:
    """A published version.

    Args:
        folder: The version's directory, which holds `model.onnx` and the model card.
        config: Path of `config.pbtxt`.
        proof: Result of the verification in ONNX Runtime.
    """

    folder: Path
    config: Path
    proof: Proof


def export_onnx_version(
    ranker: keras.Model,
    model_folder: str | Path,
    schema: FeatureSchema | None = None,
    fusion: Fusion | None = None,
    *,
    version: int | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    facts: Mapping[str, Any] | None = None,
) -> ExportedOnnx:
    """Publishes a ranker as an ONNX model in a Triton repository, after verifying it in ONNX Runtime.

    ```
    NAME/config.pbtxt
    NAME/1/model.onnx
    ```

    Args:
        ranker: As for `to_onnx`.
        model_folder: Folder of the model, `NAME`, which holds one directory per version.
        schema: The ranker's `FeatureSchema`. Defaults to `None`, for models without lookups.
        fusion: From the scores by task to one score `[B]`. Defaults to `None`.
        version: Number of the version. Defaults to `None`, one more than the highest.
        batch_sizes: Batch sizes to verify; the largest is Triton's `max_batch_size`. Defaults to
            `(1, 7, 64, 512)`.
        facts: Further entries of the model card. Defaults to none.

    Returns:
        An `ExportedOnnx`. An existing `config.pbtxt` is kept.

    Raises:
        ImportError: The extra `onnx` isn't installed.
        ValueError: As `to_onnx`, or an output differs from Keras.
        FileExistsError: The version exists already.
    """
    sizes = check_counts("batch_sizes", list(batch_sizes))
    ranker = named_model(ranker)
    inputs = served_inputs(ranker, schema)
    model = to_onnx(ranker, schema, fusion)
    session = _session(model)
    cases = make_parity_cases(ranker, inputs, [DEFAULT_SIGNATURE], sizes, fusion)
    proof = _verify(session, cases)

    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / MODEL).write_bytes(model.SerializeToString())
        described = {
            **ranker_facts(ranker, fusion),
            "format": "onnx",
            "batch_sizes": sizes,
            "proof": dataclasses.asdict(proof),
        }
        write_card(folder, inputs, {DEFAULT_SIGNATURE: _signature(session)}, {**described, **(facts or {})})

    folder = publish(write, model_folder, version)
    return ExportedOnnx(folder, _configure(folder.parent, max(sizes), session), proof)


def _session(model: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _verify(session: Any, cases: Sequence[ParityCase]) -> Proof:
    import onnxruntime

    differences = []
    for case in cases:
        names = list(case.expected)
        columns = {name: _as_text(column) for name, column in case.inputs.items()}
        differences.append(compare(case, dict(zip(names, session.run(names, columns), strict=True))))
    return Proof(f"ONNX Runtime {onnxruntime.__version__}", len(cases), max(differences))


def _as_text(column: np.ndarray) -> np.ndarray:
    """ONNX Runtime takes strings, and would format bytes with `repr`."""
    return np.vectorize(bytes.decode, otypes=[object])(column) if column.dtype == object else column


def _signature(session: Any) -> dict[str, Any]:
    sides = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    return {
        side: {value.name: {"dtype": value.type, "shape": value.shape} for value in values}
        for side, values in sides.items()
    }


def _configure(folder: Path, max_batch_size: int, session: Any) -> Path:
    """Writes `config.pbtxt` unless it exists: operators edit it."""
    path = folder / CONFIG
    if not path.exists():
        text = triton_config(folder.name, max_batch_size, session.get_inputs(), session.get_outputs())
        write_text(path, text)
    return path
