"""Clients of TensorFlow Serving and of the embedded server: gRPC, protobuf and NumPy, no TensorFlow."""

from keras_smes_serving.client.async_client import AsyncClient
from keras_smes_serving.client.client import Client
from keras_smes_serving.client.inputs import SignatureSpec, TensorSpec, rows_to_columns
from keras_smes_serving.client.requests import Ranking
from keras_smes_serving.client.retry import OnCall, Retry
from keras_smes_serving.protocol.errors import ServingError

__all__ = [
    "AsyncClient",
    "Client",
    "OnCall",
    "Ranking",
    "Retry",
    "ServingError",
    "SignatureSpec",
    "TensorSpec",
    "rows_to_columns",
]
