"""A ranker as a SavedModel: a plain graph with named, typed, batch-first signatures."""

import itertools
import keyword
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf

from keras_smes.export.graph.endpoints import Fusion, make_endpoints
from keras_smes.export.graph.inputs import named_model, served_inputs
from keras_smes.export.graph.signature_defs import complete_signatures
from keras_smes.features.schema import FeatureSchema
from keras_smes_serving.server.runtime.servable import DEFAULT_SIGNATURE


def write_saved_model(
    ranker: keras.Model,
    folder: str | Path,
    schema: FeatureSchema | None = None,
    fusion: Fusion | None = None,
    signatures: Sequence[str] | None = None,
    xla: bool = False,
) -> None:
    """Writes a SavedModel with the signatures of `keras_smes.export.graph.endpoints`.

    Inputs keep their names and types (an id stays an integer). Scores are float32 and named after the tasks.
    The graph needs neither Python nor this package, nor XLA unless `xla` is set.

    Args:
        ranker: A functional or sequential model, such as one of `build_ranker`. Dicts of inputs or outputs
            keep their names, others are named after their layers.
        folder: New folder of the SavedModel.
        schema: The ranker's `FeatureSchema`, which marks user features and optional ones. Defaults to
            `None`: all belong to the candidates and are required.
        fusion: From the scores by task to one fused score `[B]`. Defaults to `None`.
        signatures: Names of the signatures to write, with `serving_default` among them. Defaults to `None`,
            all. Leave out `rank` for a server with batching, which can't serve it.
        xla: Whether XLA compiles the ranker's core, for servers that are started with XLA enabled.
            Defaults to `False`.

    Raises:
        ValueError: `ranker` is no such model, a name can't be served, or the Keras backend isn't TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Export needs the TensorFlow backend. Received: backend={keras.backend.backend()!r}"
        )
    ranker = named_model(ranker)
    inputs = served_inputs(ranker, schema)
    endpoints = make_endpoints(ranker, inputs, fusion, xla)
    names = list(endpoints) if signatures is None else list(signatures)
    if DEFAULT_SIGNATURE not in names:  # Keras would give this name to the first one
        raise ValueError(f"`signatures` must hold {DEFAULT_SIGNATURE!r}. Received: signatures={names}")
    if unknown := sorted(set(names) - set(endpoints)):
        raise ValueError(f"`signatures` must be among {list(endpoints)}. Received: unknown={unknown}")
    archive = keras.export.ExportArchive()
    archive.track(ranker)  # lookup tables too
    if isinstance(fusion, keras.layers.Layer):
        archive.track(fusion)
    arguments = argument_names(inputs)
    for name in names:
        specs = {alias: _renamed(spec, arguments) for alias, spec in endpoints[name].specs.items()}
        archive.add_endpoint(name, endpoints[name].run, input_signature=[specs])
    # Serving needs no gradients; by default, functions for them are written too.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with _temporary_files_beside(Path(folder)):
        archive.write_out(str(folder), options=options, verbose=False)
    optional = {name: item.default for name, item in inputs.items() if item.default is not None}
    complete_signatures(
        Path(folder),
        methods={name: endpoints[name].method for name in names},
        defaults={name: optional for name in names if set(optional) <= set(endpoints[name].specs)},
        inputs={argument: name for name, argument in arguments.items()},
    )


@contextmanager
def _temporary_files_beside(folder: Path) -> Iterator[None]:
    """Puts autograph's temporary files where the next export removes those of a killed one."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix=".autograph-", dir=folder.parent) as scratch:
        tempfile.tempdir = scratch
        try:
            yield
        finally:
            tempfile.tempdir = before


def argument_names(names: Iterable[str]) -> dict[str, str]:
    """Returns a replacement for each input name that can't be the argument of a Python function.

    TensorFlow traces a signature as a Python function whose arguments are also nodes of the graph. This
    excludes `class`, `self`, `_x`, and `ID` beside `id`. The written signature has the original names.
    """
    names = list(names)
    lower = Counter(name.lower() for name in names)
    impossible = [
        name
        for name in names
        if keyword.iskeyword(name)
        or name == "self"
        or name.startswith("_")
        or (lower[name.lower()] > 1 and name != name.lower())
    ]
    free = (name for name in map("column_{}".format, itertools.count()) if name not in lower)
    return dict(zip(impossible, free, strict=False))


def _renamed(spec: tf.TensorSpec, arguments: Mapping[str, str]) -> tf.TensorSpec:
    return tf.TensorSpec(spec.shape, spec.dtype, arguments.get(spec.name, spec.name))
