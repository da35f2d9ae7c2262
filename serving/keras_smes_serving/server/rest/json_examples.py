"""Converts the JSON bodies of Classify and Regress to tf.Examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_smes_serving.protocol.errors import reject
from keras_smes_serving.server.messages import Input
from keras_smes_serving.server.rest.json_tensors import b64_value, shown


def fill_examples(document: Mapping[str, Any], examples: Input) -> None:
    """Reads the examples of a request and their shared context, if any, into an empty `Input`.

    Raises:
        ServingError: INVALID_ARGUMENT: they are missing or hold unsupported values.
    """
    listed = examples.example_list
    if "context" in document:
        listed = examples.example_list_with_context
        _fill(document["context"], listed.context)
    values = document.get("examples")
    if "examples" not in document:
        reject(
            f"JSON Value: {shown(document)} When method is classify, key 'examples' is expected and was not "
            "found"
        )
    if not isinstance(values, list):
        reject(f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array")
    if not values:
        reject(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    for value in values:
        _fill(value, listed.examples.add())


def _fill(value: Any, example: Any) -> None:
    if not isinstance(value, dict):
        reject(f"Example must be JSON object but got JSON {_kind(value)}")
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add(name, item, feature)


def _add(name: str, value: Any, feature: Any) -> None:
    """Adds a value to a feature; the first one determines its kind of list."""
    decoded = value.encode() if isinstance(value, str) else b64_value(value)
    if decoded is not None:
        field, value = "bytes_list", decoded
    elif isinstance(value, (bool, int)):
        field, value = "int64_list", int(value)
        if not -(2**63) <= value < 2**63:
            reject(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    elif isinstance(value, float):
        field = "float_list"
    else:
        reject(f"Feature: {name} has element with unexpected JSON type: {_kind(value)}")
    if feature.WhichOneof("kind") not in (None, field):
        found = feature.WhichOneof("kind").removesuffix("_list")
        reject(f"Unexpected element type in feature: {name} expecting type: {found}")
    getattr(feature, field).value.append(value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return str(value)
    names = {dict: "Object", list: "Array", str: "String", type(None): "Null"}
    return names.get(type(value), "Number")
