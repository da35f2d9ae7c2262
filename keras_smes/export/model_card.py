"""The model card: what an operator needs to know about a version."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from keras_smes.environment import package_version, source_commit
from keras_smes.export.graph.endpoints import Fusion, tasks_of
from keras_smes.export.graph.inputs import Inputs, ServedInput
from keras_smes.export.graph.signature_defs import read_signatures
from keras_smes.files import read_json_object
from keras_smes_serving.client.inputs import signature_spec

FILE = "assets.extra/model_card.json"
PACKAGES = ("keras_smes", "keras", "tensorflow", "numpy")
# The treatment of unusual values. None of them fails a request.
UNUSUAL = {
    "length": "below 0 counts as 0, above the row's length as that length",
    "vocabulary": "out-of-vocabulary values share one row of the table",
    "hashed": "every value is hashed to a row of the table",
    "number": "NaN and infinities count as missing",
    "model": "up to the model, which isn't from build_ranker",
}


def write_card(folder: Path, inputs: Inputs, signatures: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes `assets.extra/model_card.json`."""
    source = source_commit()
    card = {
        "features": {name: _feature(item) for name, item in inputs.items()},
        "signatures": signatures,
        "size": {"bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())},
        "versions": {
            "python": platform.python_version(),
            **{name: package_version(name) for name in PACKAGES},
        },
        "source": source and dict(zip(("commit", "changed"), source, strict=True)),
        **facts,
    }
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def read_card(version: Path) -> dict[str, Any]:
    """Returns the model card of a version; empty without one."""
    return read_json_object(version / FILE) if (version / FILE).is_file() else {}


def ranker_facts(ranker: keras.Model, fusion: Fusion | None) -> dict[str, Any]:
    """Returns the model card's entries about a ranker and its fusion."""
    described = fusion.get_config() if isinstance(fusion, keras.layers.Layer) else fusion and repr(fusion)
    return {"tasks": tasks_of(ranker, fusion), "fusion": described, "parameters": ranker.count_params()}


def _feature(item: ServedInput) -> dict[str, Any]:
    described = {
        "dtype": item.spec.dtype.name,
        "shape": item.spec.shape.as_list(),
        "side": "user" if item.of_user else "candidate",
        "optional": item.default is not None,
        "unusual_values": UNUSUAL[_treatment(item)],
    }
    if item.feature is not None and not item.is_length:
        described |= {"kind": item.feature.kind, "default": _plain(item.feature.default)}
    return described


def _treatment(item: ServedInput) -> str:
    if not item.takes_any:
        return "model"
    if item.is_length:
        return "length"
    if item.spec.dtype.is_floating:
        return "number"
    return "hashed" if getattr(item.feature, "num_bins", None) else "vocabulary"


def _plain(value: Any) -> Any:
    if value != value:
        return "NaN"  # not a JSON number
    return list(value) if isinstance(value, tuple) else value


def describe_signatures(folder: Path) -> dict[str, Any]:
    """Returns type and shape of the inputs and outputs of a SavedModel's signatures, by name."""
    specs = {name: signature_spec(signature) for name, signature in read_signatures(folder).items()}
    return {
        name: {
            side: {alias: {"dtype": t.dtype, "shape": t.shape} for alias, t in getattr(spec, side).items()}
            for side in ("inputs", "outputs")
        }
        for name, spec in specs.items()
    }
