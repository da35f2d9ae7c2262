"""Batching options: TensorFlow Serving's parameters and defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keras_smes_serving.protocol.errors import reject
from keras_smes_serving.server.config_files import read_batching_parameters

MODEL_FILE: Final = "batching_params.pbtxt"
"""The file of a version directory that sets the options of one model."""


@dataclass(frozen=True)
class BatchingOptions:
    """The options of batching.

    Args:
        max_batch_size: int. Maximum rows of a request, and of a batch. Defaults to 1000.
        timeout: float, seconds. How long a batch waits for more rows. Defaults to 0: it runs as soon as a
            thread is free.
        max_enqueued_batches: int. Maximum number of waiting batches. Defaults to 10.
        threads: int. Maximum number of concurrent batches; 0, the default, is the number of cores.
        pool_name: str. Name of the threads in metrics. Defaults to `"model_server_batch_threads"`.
        allowed_batch_sizes: tuple of int. Batches are padded to one of these with copies of a row. Defaults
            to any size.
        pads: bool. Whether inputs of different lengths are padded to the longest. Defaults to `False`.
        splits: bool. Whether large requests are split. Defaults to `False`.
        max_execution_batch_size: int. Maximum rows of a batch if requests are split. Defaults to 0.
    """

    max_batch_size: int = 1000
    timeout: float = 0.0
    max_enqueued_batches: int = 10
    threads: int = 0
    pool_name: str = "model_server_batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    pads: bool = False
    splits: bool = False
    max_execution_batch_size: int = 0

    @property
    def batch_size(self) -> int:
        """int. Maximum rows of a batch."""
        return self.max_execution_batch_size if self.splits else self.max_batch_size

    def padded_size(self, size: int) -> int:
        """Rounds a number of rows up to an allowed one, if there is any."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


def batching_options(path: str | os.PathLike[str] | None) -> BatchingOptions:
    """Reads BatchingParameters from a file in text format; None for the defaults.

    Raises:
        OSError, ValueError: The file can't be read.
        ServingError: INVALID_ARGUMENT: the values are invalid.
    """
    if path is None:
        return BatchingOptions(threads=os.cpu_count() or 1)
    message = read_batching_parameters(path)
    default = BatchingOptions()
    max_batch_size = _value(message, "max_batch_size", default.max_batch_size)
    options = BatchingOptions(
        max_batch_size=max_batch_size,
        timeout=_value(message, "batch_timeout_micros", 0) / 1e6,
        max_enqueued_batches=_value(message, "max_enqueued_batches", default.max_enqueued_batches),
        threads=_value(message, "num_batch_threads", os.cpu_count() or 1),
        pool_name=_value(message, "thread_pool_name", default.pool_name),
        allowed_batch_sizes=tuple(message.allowed_batch_sizes),
        pads=message.pad_variable_length_inputs,
        splits=_value(message, "enable_large_batch_splitting", False),
        max_execution_batch_size=_value(message, "max_execution_batch_size", max_batch_size),
    )
    _check(options)
    return options


def model_batching_options(directory: Path) -> BatchingOptions | None:
    """Reads the options in a version directory; None if there are none, and requests aren't batched."""
    path = directory / MODEL_FILE
    return batching_options(path) if path.is_file() else None


def _value(message: Any, field: str, default: Any) -> Any:
    return getattr(message, field).value if message.HasField(field) else default


def _check(options: BatchingOptions) -> None:
    for name in ("max_batch_size", "max_enqueued_batches", "threads", "batch_size"):
        if getattr(options, name) < 1:
            reject(f"{name} must be positive; was {getattr(options, name)}")
    if options.timeout < 0:
        reject(f"batch_timeout_micros must be non-negative; was {options.timeout * 1e6:.0f}")
    if options.batch_size > options.max_batch_size:
        reject(
            f"max_batch_size should be larger than or equal to max_execution_batch_size; was "
            f"{options.max_batch_size} and {options.batch_size}"
        )
    allowed = options.allowed_batch_sizes
    if allowed and allowed[-1] != options.max_batch_size:
        reject(
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
            f"{allowed[-1]}; expected {options.max_batch_size}"
        )
    if list(allowed) != sorted(set(allowed)) or min(allowed, default=1) < 1:
        reject("allowed_batch_sizes entries must be monotonically increasing")
