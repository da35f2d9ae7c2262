"""The SignatureDefs in a SavedModel: read, and given what `tf.function` can't express."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

FILE = "saved_model.pb"
HIDDEN = "__saved_model_init_op"  # TensorFlow's own, and no signature to ask


def read_saved_model(folder: Path) -> SavedModel:
    """Returns the message in `saved_model.pb`."""
    return SavedModel.FromString((folder / FILE).read_bytes())


def read_signatures(folder: Path) -> dict[str, Any]:
    """Returns the SignatureDefs that can be asked, by name."""
    found = read_saved_model(folder).meta_graphs[0].signature_def
    return {name: found[name] for name in sorted(found) if name != HIDDEN}


def complete_signatures(
    folder: Path, methods: Mapping[str, str], defaults: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Writes method names, and the values that stand where a request leaves an input out.

    Args:
        folder: Of the SavedModel.
        methods: `"predict"`, `"classify"` or `"regress"` by signature.
        defaults: Arrays by signature and input.
    """
    saved = read_saved_model(folder)
    for name, signature in saved.meta_graphs[0].signature_def.items():
        if name in methods:
            signature.method_name = f"tensorflow/serving/{methods[name]}"
        for alias, value in defaults.get(name, {}).items():
            signature.defaults[alias].CopyFrom(tf.make_tensor_proto(value))
    (folder / FILE).write_bytes(saved.SerializeToString(deterministic=True))
