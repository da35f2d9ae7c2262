"""Replays a model's warm-up file before its first request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.server.handlers.answers import classify, multi_inference, predict, regress
from keras_smes_serving.server.messages import PredictionLog
from keras_smes_serving.server.runtime.servable import Servable

WARMUP_FILE: Final = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS: Final = 1000


def warm_up(servable: Servable, directory: Path, iterations: int = 1) -> int:
    """Runs every request of a version's warm-up file, if any; returns the number of records.

    Model and version of a record are ignored, its signature is used.

    Raises:
        ServingError: A record is invalid or fails, or there are more than 1000.
    """
    path = directory / WARMUP_FILE
    count = 0
    for record in _records(path) if path.is_file() else ():
        log = _parsed(record, path)
        for _ in range(iterations):
            _replay(servable, log)
        count += 1
        if count > MAX_RECORDS:
            text = f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)
    return count


def _records(path: Path) -> Iterator[bytes]:
    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        text = f"{error.message}. Please verify your warmup data is in TFRecord format."
        raise ServingError(grpc.StatusCode.DATA_LOSS, text) from error


def _parsed(record: bytes, path: Path) -> PredictionLog:
    try:
        return PredictionLog.FromString(record)
    except DecodeError:
        text = f"Failed to parse warmup record: {record!r} from {path}"
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text) from None


def _replay(servable: Servable, log: PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        predict(servable, log.predict_log.request)
    elif kind == "classify_log":
        classify(servable, log.classify_log.request)
    elif kind == "regress_log":
        regress(servable, log.regress_log.request)
    elif kind == "multi_inference_log":
        multi_inference(servable, log.multi_inference_log.request)
    elif kind is not None:
        number = PredictionLog.DESCRIPTOR.fields_by_name[kind].number
        text = f"Unsupported log_type for warmup: {number}"
        raise ServingError(grpc.StatusCode.UNIMPLEMENTED, text)
