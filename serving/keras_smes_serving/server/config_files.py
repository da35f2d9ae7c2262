"""The configuration files of an operator whose messages the API wheel doesn't carry.

Their descriptors are built here, field by field, in a pool of their own: the same names and types
as in TensorFlow Serving, so that its files are read and what it refuses is refused.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

_PACKAGE: Final = "tensorflow.serving"
_WRAPPERS: Final = "google.protobuf"
_SCALARS: Final = {
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
}

# Message to its fields; a field is its number and its type, with a star if it is repeated.
_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "SSLConfig": {
        "server_key": (1, "string"),
        "server_cert": (2, "string"),
        "custom_ca": (3, "string"),
        "client_verify": (4, "bool"),
    },
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, f"{_PACKAGE}.PrometheusConfig")},
    "BatchingParameters": {
        "max_batch_size": (1, f"{_WRAPPERS}.Int64Value"),
        "batch_timeout_micros": (2, f"{_WRAPPERS}.Int64Value"),
        "max_enqueued_batches": (3, f"{_WRAPPERS}.Int64Value"),
        "num_batch_threads": (4, f"{_WRAPPERS}.Int64Value"),
        "thread_pool_name": (5, f"{_WRAPPERS}.StringValue"),
        "allowed_batch_sizes": (6, "int64*"),
        "pad_variable_length_inputs": (7, "bool"),
        "enable_large_batch_splitting": (8, f"{_WRAPPERS}.BoolValue"),
        "max_execution_batch_size": (9, f"{_WRAPPERS}.Int64Value"),
    },
}


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
    return _read(path, "SSLConfig")


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
    return _read(path, "MonitoringConfig")


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
    return _read(path, "BatchingParameters")


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
        name = message.DESCRIPTOR.full_name
        raise ValueError(f"Error parsing text-format {name}: {error}. Received: {os.fspath(path)}") from None


def _read(path: str | os.PathLike[str], name: str) -> Any:
    return read_text(path, _message_class(name)())


def _message_class(name: str) -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="keras_smes/text_configs.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            described.field.append(_field(field, number, kind))
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def _field(name: str, number: int, kind: str) -> descriptor_pb2.FieldDescriptorProto:
    repeated = kind.endswith("*")
    field = descriptor_pb2.FieldDescriptorProto(name=name, number=number)
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    scalar = _SCALARS.get(kind.rstrip("*"))
    if scalar is None:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{kind}"
    else:
        field.type = scalar
    return field
