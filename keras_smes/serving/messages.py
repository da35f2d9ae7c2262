"""The messages and stubs of TensorFlow Serving's API: the one place they are imported from.

They come from the package `tensorflow-serving-api`, which imports TensorFlow. Whoever wants them
from elsewhere (a private descriptor pool, say) changes this file alone.
"""

from __future__ import annotations

from keras_smes.serving.errors import INSTALL_HINT

try:
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
    from tensorflow_serving.apis.get_model_metadata_pb2 import (
        GetModelMetadataRequest,
        GetModelMetadataResponse,
        SignatureDefMap,
    )
    from tensorflow_serving.apis.get_model_status_pb2 import (
        GetModelStatusRequest,
        GetModelStatusResponse,
        ModelVersionStatus,
    )
    from tensorflow_serving.apis.model_pb2 import ModelSpec
    from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
except ImportError as error:
    raise ImportError(INSTALL_HINT) from error

__all__ = [
    "GetModelMetadataRequest",
    "GetModelMetadataResponse",
    "GetModelStatusRequest",
    "GetModelStatusResponse",
    "ModelSpec",
    "ModelVersionStatus",
    "PredictRequest",
    "PredictResponse",
    "SignatureDefMap",
    "model_service_pb2_grpc",
    "prediction_service_pb2_grpc",
]
