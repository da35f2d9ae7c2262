"""The raw inputs of a served ranker, with what the schema says about each."""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_smes.features.schema import Feature, FeatureSchema, check_name
from keras_smes.features.sequences import MultiValued
from keras_smes.types import Tensor

Inputs = Mapping[str, "ServedInput"]


@dataclasses.dataclass(frozen=True)
class ServedInput:
    """A raw input of the ranker.

    Args:
        spec: `tf.TensorSpec`, rows first, named as the input.
        feature: The feature that it belongs to, or `None` if no schema says.
        default: Array `[1, ...]` that stands where a request leaves the input out, or `None`.
        takes_any: Whether every value of the type is an input, unknown ids and NaN too, as for each input
            of `build_ranker`'s models. Others say nothing of it.
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
        """Name of the feature that the input belongs to."""
        return str(self.spec.name if self.feature is None else self.feature.name)

    @property
    def is_length(self) -> bool:
        """Whether it counts the values of a row of another input."""
        return self.owner != self.spec.name


def is_built_ranker(model: keras.Model) -> bool:
    """Whether a model has the parts that `build_ranker` gives it."""
    return {"preprocessor", "core"} <= {layer.name for layer in model.layers}


def named_model(model: keras.Model) -> keras.Model:
    """Returns a functional or sequential model as one from a dict of inputs to a dict of outputs.

    Those of a dict keep their names; others are named after the layers that they come from.

    Raises:
        ValueError: The inputs of the model aren't known, or two of them, or two outputs, have one name.
    """
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs)
    if not hasattr(model, "output_names"):
        raise ValueError(
            "`ranker` must be a functional model, or a sequential one that is built: of others the inputs "
            f"aren't known. `keras.Model(inputs, ranker(inputs))` makes one. Received: ranker={model!r}"
        )
    if isinstance(model.input, dict) and isinstance(model.output, dict):
        return model
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.InputLayer)]
    names = {id(layer.output): layer.name for layer in layers}
    inputs = _named("inputs", model.input, model.inputs, [names[id(tensor)] for tensor in model.inputs])
    outputs = _named("outputs", model.output, model.outputs, model.output_names)
    with warnings.catch_warnings():  # Keras would have the tensors of unnamed inputs named as their layers
        warnings.simplefilter("ignore", UserWarning)
        return keras.Model(inputs, outputs)


def _named(kind: str, structure: Any, tensors: list[Tensor], names: list[str]) -> dict[str, Tensor]:
    if isinstance(structure, dict):
        return structure
    if len(set(names)) < len(names):
        raise ValueError(f"`ranker` must have {kind} of different names: make it a dict. Received: {names}")
    return dict(zip(names, tensors, strict=True))


def served_inputs(ranker: keras.Model, schema: FeatureSchema | None) -> dict[str, ServedInput]:
    """Returns the inputs of a ranker by name.

    Args:
        ranker: A functional model from a dict of raw columns.
        schema: The `FeatureSchema` that it was built from. `None`: no input has a side or a default.

    Raises:
        ValueError: The model takes no dict of named features, a name can't be served, or the schema
            is that of another model.
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
        # A length above that of the row counts as that of the row: right for the default row, and for
        # one that a request sends without its length.
        return np.array([feature.max_length], spec.dtype.as_numpy_dtype)
    if spec.dtype == tf.string:
        return np.vectorize(str.encode, otypes=[object])(np.array([feature.default], object))
    return np.array([feature.default], spec.dtype.as_numpy_dtype)


def filled(columns: Mapping[str, Tensor], inputs: Inputs, rows: Tensor) -> dict[str, Tensor]:
    """Spreads the single row of a default over all `rows`; a request's own rows stay as they are."""
    return {
        name: column if inputs[name].default is None else spread(column, rows)
        for name, column in columns.items()
    }


def spread(column: Tensor, rows: Tensor) -> Tensor:
    """Repeats `[1, ...]` for `rows`."""
    return tf.broadcast_to(column, tf.concat([tf.reshape(rows, [1]), tf.shape(column)[1:]], axis=0))
