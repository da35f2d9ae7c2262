"""Converts the JSON bodies of Predict requests to the inputs of a signature."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from keras_smes_serving.protocol.dtypes import dtype_name
from keras_smes_serving.protocol.errors import ServingError, reject
from keras_smes_serving.server.rest.json_documents import decode_document
from keras_smes_serving.server.rest.json_tensors import b64_value, shown, tensor
from keras_smes_serving.server.runtime.session import Array

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse_body(body: bytes) -> dict[str, Any]:
    """Parses the JSON object of a request. NaN and Infinity are numbers; trailing text is ignored.

    Raises:
        ServingError: INVALID_ARGUMENT: it is no JSON object.
    """
    if not body:
        reject("JSON Parse error: The document is empty")
    try:
        text = body.decode()
        document = decode_document(text)
        if _SURROGATE.search(text):
            for piece in json.JSONEncoder(ensure_ascii=False).iterencode(document):
                piece.encode()  # rejects unpaired surrogates
    except json.JSONDecodeError as error:
        reject(f"JSON Parse error: {error.msg} at offset: {error.pos}")
    except UnicodeEncodeError:
        reject("JSON Parse error: The surrogate pair in string is invalid.")
    except (ValueError, RecursionError) as error:  # not UTF-8, or a number of thousands of digits
        reject(f"JSON Parse error: {error}")
    if not isinstance(document, dict):
        reject(f"JSON Value: {shown(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """Returns the signature name of a request; empty without one.

    Raises:
        ServingError: INVALID_ARGUMENT: it isn't a string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        reject(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string "
            "value."
        )
    return str(name)


def predict_inputs(document: Mapping[str, Any], infos: Mapping[str, Any]) -> tuple[dict[str, Array], bool]:
    """Reads the tensors of a Predict request, and whether they came as rows.

    Args:
        document: mapping. The JSON object, with `instances` (rows) or `inputs` (columns).
        infos: mapping of str to TensorInfo message. The inputs of the signature.

    Raises:
        ServingError: INVALID_ARGUMENT: they don't match the signature, or one another.
    """
    if "instances" in document and "inputs" in document:
        reject(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist "
        )
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            reject(f"JSON Value: {shown(document)} Expecting 'instances' to be an list/array")
        if not rows:
            reject(f"JSON Value: {shown(document)} No values in 'instances' array")
        return _from_rows(rows, infos), True
    if "inputs" not in document:
        reject("Missing 'inputs' or 'instances' key")
    return _from_columns(document["inputs"], infos), False


def _from_rows(rows: list[Any], infos: Mapping[str, Any]) -> dict[str, Array]:
    named = isinstance(rows[0], dict) and b64_value(rows[0]) is None
    if not named and len(infos) > 1:
        reject(
            "instances is a plain list, but expecting list of objects as multiple input tensors required "
            "as per tensorinfo_map"
        )
    for index, row in enumerate(rows):
        _check_row(index, row, named, infos)
    columns = {name: [row[name] for row in rows] if named else rows for name in infos}
    arrays = {}
    for name, column in columns.items():
        try:
            arrays[name] = tensor(column, dtype_name(infos[name].dtype))
        except ServingError as error:
            reject(f"Failed to process key: {name} of 'instances' list. Error: {error.message}")
    return arrays


def _check_row(index: int, row: Any, named: bool, infos: Mapping[str, Any]) -> None:
    is_object = isinstance(row, dict) and b64_value(row) is None
    if named and not is_object:
        reject(f"Expecting object but got list at item {index} of input list")
    if not named and is_object:
        reject(f"Expecting value/list but got object at item {index} of input list")
    if named and row.keys() != set(infos):
        reject(
            f"Failed to process element: {index} of 'instances' list. JSON object: {shown(row)} keys must be "
            f"equal to: {','.join(sorted(infos))}"
        )


def _from_columns(value: Any, infos: Mapping[str, Any]) -> dict[str, Array]:
    if not isinstance(value, dict) or b64_value(value) is not None:
        if len(infos) > 1:
            reject(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as "
                "per tensorinfo_map"
            )
        value = dict.fromkeys(infos, value)
    for name in sorted(infos):
        if name not in value:
            reject(f"Missing named input: {name} in 'inputs' object.")
    return {name: tensor(value[name], dtype_name(info.dtype)) for name, info in infos.items()}
