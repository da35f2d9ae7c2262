"""SignatureDefs of a SavedModel: reads them, and completes them with what `tf.function` can't express."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

FILE = "saved_model.pb"
HIDDEN = "__saved_model_init_op"  # internal to TensorFlow


def read_saved_model(folder: Path) -> SavedModel:
    """Returns the message in `saved_model.pb`."""
    return SavedModel.FromString((folder / FILE).read_bytes())


def read_signatures(folder: Path) -> dict[str, Any]:
    """Returns the public SignatureDefs by name."""
    found = read_saved_model(folder).meta_graphs[0].signature_def
    return {name: found[name] for name in sorted(found) if name != HIDDEN}


def complete_signatures(
    folder: Path,
    methods: Mapping[str, str],
    defaults: Mapping[str, Mapping[str, np.ndarray]],
    inputs: Mapping[str, str],
) -> None:
    """Writes method names, defaults and names of inputs."""
    saved = read_saved_model(folder)
    _rename_inputs(saved.meta_graphs[0], inputs)
    for name, signature in saved.meta_graphs[0].signature_def.items():
        if name in methods:
            signature.method_name = f"tensorflow/serving/{methods[name]}"
        for alias, value in defaults.get(name, {}).items():
            signature.defaults[alias].CopyFrom(tf.make_tensor_proto(value))
    (folder / FILE).write_bytes(saved.SerializeToString(deterministic=True))


def _rename_inputs(graph: Any, names: Mapping[str, str]) -> None:
    for signature in graph.signature_def.values():
        for argument in sorted(set(signature.inputs) & set(names)):
            signature.inputs[names[argument]].CopyFrom(signature.inputs.pop(argument))
    for node in graph.object_graph_def.nodes:  # for `tf.saved_model.load`
        if node.WhichOneof("kind") == "bare_concrete_function":
            arguments = node.bare_concrete_function.argument_keywords
            arguments[:] = [names.get(argument, argument) for argument in arguments]
