"""The messages and methods of TensorFlow Serving's API that a client needs, and nothing else.

They are described here by the numbers of their fields, in a descriptor pool of their own. The
package `tensorflow-serving-api` has them too, at the price of importing TensorFlow; in one process
with it nothing clashes. Enumerations are plain integers, which the wire doesn't tell apart.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

__all__ = [
    "METADATA",
    "PREDICT",
    "STATES",
    "STATUS",
    "DecodeError",
    "GetModelMetadataRequest",
    "GetModelMetadataResponse",
    "GetModelStatusRequest",
    "GetModelStatusResponse",
    "ModelSpec",
    "PredictRequest",
    "PredictResponse",
    "SignatureDefMap",
    "Tensor",
    "TensorShape",
]

_PACKAGE: Final = "keras_smes_serving"
_Field: Final = descriptor_pb2.FieldDescriptorProto

# Message to field to (number, type); a type may be `repeated` or a `map` from strings.
# Floats lie in a message as in memory: as `bytes` they are read without looking at each of them,
# whatever the version of protobuf.
_MESSAGES: Final = MappingProxyType(
    {
        "Any": {"type_url": (1, "string"), "value": (2, "bytes")},
        "Int64Value": {"value": (1, "int64")},
        "Dim": {"size": (1, "int64"), "name": (2, "string")},
        "TensorShape": {"dim": (2, "repeated Dim"), "unknown_rank": (3, "bool")},
        "Tensor": {
            "dtype": (1, "int32"),
            "tensor_shape": (2, "TensorShape"),
            "tensor_content": (4, "bytes"),
            "float_val": (5, "bytes"),
            "double_val": (6, "bytes"),
            "int_val": (7, "repeated int32"),
            "string_val": (8, "repeated bytes"),
            "scomplex_val": (9, "bytes"),
            "int64_val": (10, "repeated int64"),
            "bool_val": (11, "repeated bool"),
            "dcomplex_val": (12, "bytes"),
            "half_val": (13, "repeated int32"),
            "uint32_val": (16, "repeated uint32"),
            "uint64_val": (17, "repeated uint64"),
        },
        "TensorInfo": {"name": (1, "string"), "dtype": (2, "int32"), "tensor_shape": (3, "TensorShape")},
        "SignatureDef": {
            "inputs": (1, "map TensorInfo"),
            "outputs": (2, "map TensorInfo"),
            "method_name": (3, "string"),
            "defaults": (4, "map Tensor"),
        },
        "SignatureDefMap": {"signature_def": (1, "map SignatureDef")},
        "ModelSpec": {
            "name": (1, "string"),
            "version": (2, "Int64Value"),
            "signature_name": (3, "string"),
            "version_label": (4, "string"),
        },
        "PredictRequest": {
            "model_spec": (1, "ModelSpec"),
            "inputs": (2, "map Tensor"),
            "output_filter": (3, "repeated string"),
        },
        "PredictResponse": {"outputs": (1, "map Tensor"), "model_spec": (2, "ModelSpec")},
        "GetModelMetadataRequest": {
            "model_spec": (1, "ModelSpec"),
            "metadata_field": (2, "repeated string"),
        },
        "GetModelMetadataResponse": {"model_spec": (1, "ModelSpec"), "metadata": (2, "map Any")},
        "GetModelStatusRequest": {"model_spec": (1, "ModelSpec")},
        "Status": {"error_code": (1, "int32"), "error_message": (2, "string")},
        "ModelVersionStatus": {"version": (1, "int64"), "state": (2, "int32"), "status": (3, "Status")},
        "GetModelStatusResponse": {"model_version_status": (1, "repeated ModelVersionStatus")},
    }
)

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
METADATA: Final = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS: Final = "/tensorflow.serving.ModelService/GetModelStatus"

STATES: Final = MappingProxyType(
    {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
)
"""What the states of a version are called."""


def _classes() -> dict[str, Any]:
    """Makes the classes of all messages, in a pool that nobody else sees."""
    file = descriptor_pb2.FileDescriptorProto(name="messages.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    how, _, kind = kind.rpartition(" ")
    field = message.field.add(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if how else _Field.LABEL_OPTIONAL
    if how == "map":
        kind = _add_entry(message, name, kind)
    if kind[0].isupper():
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"
    else:
        field.type = _Field.Type.Value(f"TYPE_{kind.upper()}")


def _add_entry(message: Any, name: str, kind: str) -> str:
    """A map is a list of entries, in a message of its own inside; returns what that is called."""
    entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    _add_field(entry, "key", 1, "string")
    _add_field(entry, "value", 2, kind)
    return f"{message.name}.{entry.name}"


_made = _classes()
SignatureDefMap: Final = _made["SignatureDefMap"]
Tensor: Final = _made["Tensor"]
TensorShape: Final = _made["TensorShape"]
ModelSpec: Final = _made["ModelSpec"]
PredictRequest: Final = _made["PredictRequest"]
PredictResponse: Final = _made["PredictResponse"]
GetModelMetadataRequest: Final = _made["GetModelMetadataRequest"]
GetModelMetadataResponse: Final = _made["GetModelMetadataResponse"]
GetModelStatusRequest: Final = _made["GetModelStatusRequest"]
GetModelStatusResponse: Final = _made["GetModelStatusResponse"]
