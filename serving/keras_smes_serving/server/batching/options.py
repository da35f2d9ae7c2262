"""How requests are put together into batches: TensorFlow Serving's parameters and defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keras_smes_serving.protocol.errors import reject
from keras_smes_serving.server.config_files import read_batching_parameters

MODEL_FILE: Final = "batching_params.pbtxt"
"""The file of a version directory that sets the parameters of one model."""


@dataclass(frozen=True)
class BatchingOptions:
    """The parameters of batching.

    Args:
        max_batch_size: int. The most rows that a request may have, and a batch. Defaults to 1000.
        timeout: float, seconds. How long a batch waits to be filled. Defaults to 0: it runs as
            soon as a thread is free.
        max_enqueued_batches: int. How many batches may wait for a thread. Defaults to 10.
        threads: int. How many batches run at a time. Defaults to the number of cores.
        pool_name: str. What metrics call the threads.
        allowed_batch_sizes: tuple of int. Batches are filled up to one of these, with copies of a
            row. Defaults to any size.
        pads: bool. Whether inputs of different lengths are padded to the longest.
        splits: bool. Whether large requests are split.
        max_execution_batch_size: int. The most rows of a batch if requests are split. Defaults to
            `max_batch_size`.

    Example:

    ```python
    BatchingOptions(max_batch_size=512, timeout=0.002)
    ```
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
        """int. The most rows of a batch."""
        return self.max_execution_batch_size if self.splits else self.max_batch_size

    def padded_size(self, size: int) -> int:
        """Rounds a number of rows up to one that is allowed.

        Args:
            size: int. The number of rows.

        Returns:
            int. The lowest allowed number that isn't below, or the number itself.
        """
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


def batching_options(path: str | os.PathLike[str] | None) -> BatchingOptions:
    """Reads the parameters of batching from a file.

    Args:
        path: str or path. BatchingParameters in text format; None for the defaults.

    Returns:
        `BatchingOptions`.

    Raises:
        OSError, ValueError: The file can't be read.
        ServingError: INVALID_ARGUMENT: the values don't go together.

    Example:

    ```python
    batching_options("/models/batching.config").max_batch_size
    ```
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
    """Reads the parameters that a version carries.

    Args:
        directory: path. The version directory.

    Returns:
        `BatchingOptions`. None if the version carries none: its requests aren't batched.

    Raises:
        OSError, ValueError: The file can't be read.
        ServingError: INVALID_ARGUMENT: the values don't go together.

    Example:

    ```python
    model_batching_options(Path("models/smes/1"))
    ```
    """
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
