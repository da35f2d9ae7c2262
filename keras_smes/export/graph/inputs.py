"""The raw inputs of a served ranker, with their features."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_smes.backend.graph import call_graph
from keras_smes.features.schema import Feature, FeatureSchema, check_name
from keras_smes.features.sequences import MultiValued
from keras_smes.types import Tensor

Inputs = Mapping[str, "ServedInput"]


@dataclasses.dataclass(frozen=True)
class ServedInput:
    """A raw input of the ranker.

    Args:
        spec: `tf.TensorSpec`, rows first, named as the input.
        feature: Its feature, or `None` without a schema.
        default: Array `[1, ...]` for requests without the input, or `None`.
        takes_any: Whether every value of the type is valid, such as unknown ids and NaN. True for models of
            `build_ranker`, unknown for others.
    """

    spec: tf.TensorSpec
    feature: Feature | None = None
    default: np.ndarray | None = None
    takes_any: bool = True

    @property
    def of_user(self) -> bool:
        """Whether all candidates of a request share the value."""
        return self.feature is not None and self.feature.side == "user"

    @property
    def owner(self) -> str:
        """Name of the feature to which the input belongs."""
        return str(self.spec.name if self.feature is None else self.feature.name)

    @property
    def is_length(self) -> bool:
        """Whether it is the length of another input's rows."""
        return self.owner != self.spec.name


def is_built_ranker(model: keras.Model) -> bool:
    """Whether a model has the parts of `build_ranker`."""
    return {"preprocessor", "core"} <= {layer.name for layer in model.layers}


def named_model(model: keras.Model) -> keras.Model:
    """Returns a functional or sequential model as one from a dict of inputs to a dict of outputs.

    Dicts keep their names; other inputs and outputs are named after their layers.

    Raises:
        ValueError: The inputs of the model aren't known, or two inputs or outputs have the same name.
    """
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs)
    if not hasattr(model, "output_names"):
        raise ValueError(
            "`ranker` must be a functional or a built sequential model, whose inputs are known. "
            f"`keras.Model(inputs, ranker(inputs))` makes one. Received: ranker={model!r}"
        )
    if isinstance(model.input, dict) and isinstance(model.output, dict):
        return model
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.InputLayer)]
    names = {id(layer.output): layer.name for layer in layers}
    inputs = _named("inputs", model.input, model.inputs, [names[id(tensor)] for tensor in model.inputs])
    outputs = _named("outputs", model.output, model.outputs, model.output_names)
    with warnings.catch_warnings():  # Keras warns about tensors that aren't named as their input
        warnings.simplefilter("ignore", UserWarning)
        return keras.Model(inputs, outputs)


def _named(kind: str, structure: Any, tensors: list[Tensor], names: list[str]) -> dict[str, Tensor]:
    if isinstance(structure, dict):
        return structure
    if len(set(names)) < len(names):
        raise ValueError(f"`ranker` must have {kind} of different names: use a dict. Received: {names}")
    return dict(zip(names, tensors, strict=True))


def served_inputs(ranker: keras.Model, schema: FeatureSchema | None) -> dict[str, ServedInput]:
    """Returns the inputs of a ranker by name.

    Raises:
        ValueError: The model's input is no dict of named features, a name can't be served, or the schema
            belongs to another model.
    """
    if not isinstance(getattr(ranker, "input", None), dict):
        raise ValueError(f"`ranker` must take a dict of named features. Received: ranker={ranker!r}")
    specs = {
        check_name("feature", name): tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in ranker.input.items()
    }
    if schema is None:
        takes_any = is_built_ranker(ranker)
        return {name: ServedInput(spec, takes_any=takes_any) for name, spec in specs.items()}
    owners = {name: feature for feature in schema.features for name in feature.input_specs}
    if set(owners) != set(specs):
        differing = sorted(set(owners) ^ set(specs))
        raise ValueError(f"`schema` must be that of the ranker. Received: differing={differing}")
    return {
        name: ServedInput(spec, owners[name], _default(owners[name], spec)) for name, spec in specs.items()
    }


def _default(feature: Feature, spec: tf.TensorSpec) -> np.ndarray | None:
    if feature.default is None:
        return None
    if isinstance(feature, MultiValued) and spec.name == feature.length_name:
        # Lengths are clipped to that of the row: correct for the default row, and for a request that holds
        # the values without their length.
        return np.array([feature.max_length], spec.dtype.as_numpy_dtype)
    if spec.dtype == tf.string:
        return np.vectorize(str.encode, otypes=[object])(np.array([feature.default], object))
    return np.array([feature.default], spec.dtype.as_numpy_dtype)


def rewired(
    model: keras.Model,
    operation: Callable[[Any], Callable[..., Any]],
    dtypes: Mapping[str, str] | None = None,
) -> keras.Model:
    """Returns a functional model that calls `operation(layer)` in the place of each layer.

    Inputs keep their types, those of `dtypes` aside.
    """
    own = dtypes or {}
    raw = {
        name: keras.Input(batch_shape=t.shape, dtype=own.get(name, t.dtype), name=name)
        for name, t in model.input.items()
    }
    return keras.Model(raw, call_graph(model, raw, operation))


def filled(columns: Mapping[str, Tensor], inputs: Inputs, rows: Tensor) -> dict[str, Tensor]:
    """Broadcasts defaults of a single row to all `rows`; other columns stay as they are."""
    return {
        name: column if inputs[name].default is None else spread(column, rows)
        for name, column in columns.items()
    }


def spread(column: Tensor, rows: Tensor) -> Tensor:
    """Repeats `[1, ...]` for `rows`."""
    return tf.broadcast_to(column, tf.concat([tf.reshape(rows, [1]), tf.shape(column)[1:]], axis=0))
