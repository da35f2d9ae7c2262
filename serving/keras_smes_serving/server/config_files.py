"""The configuration files of an operator, in protobuf's text format; see `config_files.proto`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from keras_smes_serving.server.config_files_pb2 import BatchingParameters, MonitoringConfig, SSLConfig


def read_ssl_config(path: str | os.PathLike[str]) -> Any:
    """Reads the file of `--ssl_config_file`.

    Args:
        path: str or path. An SSLConfig in text format; keys and certificates are PEM, inline.

    Returns:
        message with the fields of SSLConfig.

    Raises:
        OSError: The file can't be read.
        ValueError: It isn't what it should be. The text names line and column.

    Example:

    ```python
    read_ssl_config("/models/ssl.config").client_verify
    ```
    """
    return read_text(path, SSLConfig())


def read_monitoring_config(path: str | os.PathLike[str]) -> Any:
    """Reads the file of `--monitoring_config_file`.

    Args:
        path: str or path. A MonitoringConfig in text format.

    Returns:
        message with the fields of MonitoringConfig.

    Raises:
        OSError: The file can't be read.
        ValueError: It isn't what it should be. The text names line and column.

    Example:

    ```python
    read_monitoring_config("/models/monitoring.config").prometheus_config.enable
    ```
    """
    return read_text(path, MonitoringConfig())


def read_batching_parameters(path: str | os.PathLike[str]) -> Any:
    """Reads the file of `--batching_parameters_file`, or that of one model.

    Args:
        path: str or path. A BatchingParameters in text format.

    Returns:
        message with the fields of BatchingParameters.

    Raises:
        OSError: The file can't be read.
        ValueError: It isn't what it should be. The text names line and column.

    Example:

    ```python
    read_batching_parameters("/models/batching.config").max_batch_size.value
    ```
    """
    return read_text(path, BatchingParameters())


def read_text(path: str | os.PathLike[str], message: Any) -> Any:
    """Reads a file in protobuf's text format.

    Args:
        path: str or path. The file.
        message: message of the type it should hold, empty, which is filled.

    Returns:
        message. The same.

    Raises:
        OSError: The file can't be read.
        ValueError: It isn't what it should be. The text names line and column.

    Example:

    ```python
    read_text("/models/models.config", ModelServerConfig())
    ```
    """
    try:
        return text_format.Parse(Path(path).read_text(encoding="utf-8"), message)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        name = f"tensorflow.serving.{message.DESCRIPTOR.name}"  # as TensorFlow Serving calls all of them
        raise ValueError(f"Error parsing text-format {name}: {error}. Received: {os.fspath(path)}") from None
