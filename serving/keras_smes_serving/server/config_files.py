"""The configuration files of an operator, in protobuf's text format; see `config_files.proto`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from keras_smes_serving.server.config_files_pb2 import BatchingParameters, MonitoringConfig, SSLConfig


def read_ssl_config(path: str | os.PathLike[str]) -> Any:
    """Reads the SSLConfig of `--ssl_config_file`; keys and certificates are inline PEM."""
    return read_text(path, SSLConfig())


def read_monitoring_config(path: str | os.PathLike[str]) -> Any:
    """Reads the MonitoringConfig of `--monitoring_config_file`."""
    return read_text(path, MonitoringConfig())


def read_batching_parameters(path: str | os.PathLike[str]) -> Any:
    """Reads the BatchingParameters of `--batching_parameters_file`, or of one model."""
    return read_text(path, BatchingParameters())


def read_text(path: str | os.PathLike[str], message: Any) -> Any:
    """Reads a file in protobuf's text format into an empty message, and returns the message.

    Raises:
        OSError: The file can't be read.
        ValueError: It is invalid. The message names line and column.
    """
    try:
        return text_format.Parse(Path(path).read_text(encoding="utf-8"), message)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        name = f"tensorflow.serving.{message.DESCRIPTOR.name}"  # the name in TensorFlow Serving
        raise ValueError(f"Error parsing text-format {name}: {error}. Received: {os.fspath(path)}") from None
