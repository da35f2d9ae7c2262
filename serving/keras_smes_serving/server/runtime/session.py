"""A SavedModel in a session of the C++ runtime, run by tensor names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.util import deprecation

from keras_smes_serving.protocol.errors import ServingError, status_code

Array = np.ndarray[Any, Any]


class Runner(Protocol):
    """Runs a graph: a session, or a batching session."""

    @property
    def signatures(self) -> Mapping[str, Any]:
        """The SignatureDefs of the model, by name."""

    def run(
        self, inputs: Mapping[str, Array], outputs: Sequence[str], timeout: float | None = None
    ) -> list[Array]:
        """Feeds tensors by name, and returns others in the given order."""

    def close(self) -> None:
        """Frees the graph. No run may be in flight, and none may follow."""


class Session:
    """A loaded SavedModel, in a session as in TensorFlow Serving, usable from any thread.

    `tf.saved_model.load` would reject some models and change error messages.

    Args:
        directory: str or path. The version directory, which holds `saved_model.pb`.
        tags: sequence of str. The tags of the graph to load. Defaults to `("serve",)`.
        config: `tf.compat.v1.ConfigProto`. Threads and other options. Defaults to TensorFlow's choice.

    Raises:
        tf.errors.OpError, RuntimeError, OSError: The directory doesn't hold a loadable SavedModel.
    """

    def __init__(
        self, directory: str | os.PathLike[str], tags: Sequence[str] = ("serve",), config: Any = None
    ) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default(), deprecation.silence():
                loaded = tf.compat.v1.saved_model.loader.load(self._session, list(tags), os.fspath(directory))
        except BaseException:
            self._session.close()
            raise
        self.signatures: Mapping[str, Any] = dict(loaded.signature_def)
        self._endpoints = _endpoints(self._session.graph, self.signatures.values())

    def run(
        self, inputs: Mapping[str, Array], outputs: Sequence[str], timeout: float | None = None
    ) -> list[Array]:
        """Runs the graph as the C++ server does, from tensor names to values.

        Python's `Session.run` would cast the inputs to the dtypes of the graph and change error messages, at
        three times the cost.

        Raises:
            ServingError: The run failed; with the code and message of TensorFlow.
        """
        feeds = {self._endpoint(name): value for name, value in inputs.items()}
        fetches = [self._endpoint(name) for name in outputs]
        milliseconds = 0 if timeout is None else max(1, int(timeout * 1000))
        options = tf.compat.v1.RunOptions(timeout_in_ms=milliseconds).SerializeToString()
        buffer = pywrap_tf_session.TF_NewBufferFromString(options)
        try:
            return pywrap_tf_session.TF_SessionRun_wrapper(
                self._session._session, buffer, feeds, fetches, [], None
            )
        except tf.errors.OpError as error:
            raise ServingError(status_code(error.error_code), error.message) from error
        finally:
            pywrap_tf_session.TF_DeleteBuffer(buffer)

    def close(self) -> None:
        """Frees the graph. No run may be in flight, and none may follow."""
        self._session.close()

    def _endpoint(self, name: str) -> Any:
        if name not in self._endpoints:
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Tensor {name}, specified in either feed_devices or fetch_devices was not found in the "
                "Graph",
            )
        return self._endpoints[name]


def _endpoints(graph: tf.Graph, signatures: Iterable[Any]) -> dict[str, Any]:
    """Looks up the tensors of signatures; missing ones are omitted."""
    operations = {operation.name: operation for operation in graph.get_operations()}
    endpoints = {}
    for signature in signatures:
        for info in [*signature.inputs.values(), *signature.outputs.values()]:
            operation, _, index = info.name.partition(":")
            if operation in operations:
                endpoint = pywrap_tf_session.TF_Output()
                endpoint.oper, endpoint.index = operations[operation]._c_op, int(index or 0)
                endpoints[info.name] = endpoint
    return endpoints
