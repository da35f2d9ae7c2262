"""The messages and methods of TensorFlow Serving's API that a client needs; see `messages.proto`."""

from types import MappingProxyType
from typing import Final

from google.protobuf.message import DecodeError

from keras_smes_serving.protocol.messages_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelSpec,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
    Tensor,
    TensorShape,
)

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

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
METADATA: Final = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS: Final = "/tensorflow.serving.ModelService/GetModelStatus"

STATES: Final = MappingProxyType(
    {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
)
"""Names of the states of a version."""
