"""Loads a version directory as a warmed-up servable."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.server.batching.options import (
    BatchingOptions,
    batching_options,
    model_batching_options,
)
from keras_smes_serving.server.batching.queue import BatchScheduler
from keras_smes_serving.server.batching.session import BatchingSession
from keras_smes_serving.server.config_files import read_text
from keras_smes_serving.server.flags import Flags
from keras_smes_serving.server.metrics import Metrics, microseconds_since
from keras_smes_serving.server.models.warmup import warm_up
from keras_smes_serving.server.runtime.servable import Servable
from keras_smes_serving.server.runtime.session import Runner, Session


class ServableLoader:
    """Loads versions by the flags of a server.

    Args:
        flags: `Flags`. Tags, threads, batching and warm-up.
        metrics: `Metrics`. Records warm-ups and batches.
    """

    def __init__(self, flags: Flags, metrics: Metrics) -> None:
        self._flags = flags
        self._metrics = metrics
        self._tags = [tag for tag in flags.saved_model_tags.split(",") if tag]
        self._config = _session_config(flags)
        self._batching: BatchingOptions | None = None
        self._scheduler: BatchScheduler | None = None
        if flags.enable_batching:
            self._batching = batching_options(flags.batching_parameters_file or None)
            self._scheduler = BatchScheduler(self._batching.threads)

    def __call__(self, directory: Path) -> Servable:
        """Loads a version and runs its warm-up file.

        Raises:
            ServingError, tf.errors.OpError, RuntimeError, OSError: It can't be served.
        """
        servable = Servable(self._runner(directory))
        try:
            self._warm_up(servable, directory)
        except BaseException:
            servable.close()
            raise
        return servable

    def close(self, timeout: float = threading.TIMEOUT_MAX) -> None:
        """Ends the batching threads, or gives up after the timeout in seconds. No servable may be in use."""
        if self._scheduler is not None:
            self._scheduler.close(timeout)

    def _runner(self, directory: Path) -> Runner:
        options = self._batching
        if self._flags.enable_per_model_batching_parameters and options is not None:
            options = model_batching_options(directory)
        session = Session(directory, self._tags, self._config)
        if options is None or self._scheduler is None:
            return session
        return BatchingSession(session, options, self._scheduler, self._metrics)

    def _warm_up(self, servable: Servable, directory: Path) -> None:
        if not self._flags.enable_model_warmup:
            return
        began, status, count = time.perf_counter(), "OK", 0
        try:
            count = warm_up(servable, directory, max(1, self._flags.num_request_iterations_for_warmup))
        except ServingError as error:
            status = str(error)
            raise
        finally:
            if count or status != "OK":
                labels = (str(directory), status)
                self._metrics.warmup_latency.labels(*labels).observe(microseconds_since(began))
                self._metrics.warmup_records.labels(*labels).inc(count)


def _session_config(flags: Flags) -> Any:
    config = tf.compat.v1.ConfigProto()
    if flags.tensorflow_session_config_file:
        config = read_text(flags.tensorflow_session_config_file, config)
    intra = flags.tensorflow_intra_op_parallelism
    inter = flags.tensorflow_inter_op_parallelism
    if not intra and not inter:
        intra = inter = flags.tensorflow_session_parallelism
    config.intra_op_parallelism_threads = intra or config.intra_op_parallelism_threads
    config.inter_op_parallelism_threads = inter or config.inter_op_parallelism_threads
    return config
