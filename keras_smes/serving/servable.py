"""One version of a model: a SavedModel in a session, asked by signature."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.util import deprecation

from keras_smes.serving.errors import ServingError, grpc, status_code
from keras_smes.serving.protocol import decode

DEFAULT_SIGNATURE = "serving_default"


class Servable:
    """A loaded version of a SavedModel that answers predictions.

    The graph runs in a session, as in TensorFlow Serving: what that serves is served here, with
    the same codes and texts. `tf.saved_model.load` would refuse some of it and word errors in
    its own way. All methods may be called from any thread.

    Args:
        directory: str or path. The version directory, which holds `saved_model.pb`.
        tags: sequence of str. The tags of the graph to load. Defaults to `("serve",)`.
        max_executors: int. How many different sets of outputs get an executor of their own.
            A session never lets go of one, and a client could ask for every subset; requests
            for further sets compute all outputs and return what was asked for. Defaults to 64.

    Raises:
        tf.errors.OpError, RuntimeError, OSError: The directory doesn't hold a SavedModel that can
            be loaded.

    Example:

    ```python
    servable = Servable("models/smes/1")
    servable.predict("serving_default", {"user_id": np.array([7]), "item_id": np.array([42])})
    ```
    """

    def __init__(
        self, directory: str | os.PathLike[str], tags: Sequence[str] = ("serve",), max_executors: int = 64
    ) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default(), deprecation.silence():
            loaded = tf.compat.v1.saved_model.loader.load(self._session, list(tags), os.fspath(directory))
        self.signatures: Mapping[str, Any] = dict(loaded.signature_def)
        self._endpoints = _endpoints(self._session.graph, self.signatures.values())
        self._max_executors = max_executors
        self._executors: set[tuple[str, frozenset[str]]] = set()
        self._lock = threading.Lock()

    def predict(
        self,
        signature_name: str,
        inputs: Mapping[str, Any],
        output_filter: Sequence[str] = (),
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Runs a signature.

        Args:
            signature_name: str. The signature; the empty string is `serving_default`.
            inputs: mapping of str to ndarray or TensorProto. A value for each input that has no
                default. Strings are object arrays of bytes.
            output_filter: sequence of str. The outputs wanted. Defaults to all of them.
            timeout: float, seconds. After which the run is cancelled. Defaults to never.

        Returns:
            dict of str to ndarray. The outputs by name.

        Raises:
            ServingError: With the code and the text of TensorFlow Serving.

        Example:

        ```python
        servable.predict("", {"x": np.array([1.0], "float32")}, output_filter=["y"])
        ```
        """
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
            )
        signature = self.signatures[name]
        tensors = _input_tensors(signature, inputs)
        feeds = {self._endpoint(signature.inputs[alias].name): value for alias, value in tensors.items()}
        wanted = _wanted_outputs(signature, output_filter)
        fetched = self._fetched(name, signature, wanted)
        fetches = [self._endpoint(signature.outputs[alias].name) for alias in fetched]
        values = dict(zip(fetched, self._run(feeds, fetches, timeout), strict=True))
        return {alias: values[alias] for alias in wanted}

    def close(self) -> None:
        """Frees the session. No prediction may be running, and none may follow."""
        self._session.close()

    def _endpoint(self, name: str) -> Any:
        if name not in self._endpoints:
            _refuse(
                f"Tensor {name}, specified in either feed_devices or fetch_devices was not found in the Graph"
            )
        return self._endpoints[name]

    def _fetched(self, name: str, signature: Any, wanted: Sequence[str]) -> list[str]:
        """The outputs to compute: those wanted, in one order, or all once executors are many."""
        key = (name, frozenset(wanted))
        with self._lock:
            if key in self._executors or len(self._executors) < self._max_executors:
                self._executors.add(key)
                return sorted(wanted)
        return sorted(signature.outputs)

    def _run(self, feeds: Mapping[Any, Any], fetches: Sequence[Any], timeout: float | None) -> list[Any]:
        """Runs the session the way the C++ server does.

        `Session.run` of Python would cast the inputs to the dtypes of the graph and rewrite the
        texts of errors, at three times the cost.
        """
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


def _refuse(message: str) -> NoReturn:
    raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def _endpoints(graph: tf.Graph, signatures: Iterable[Any]) -> dict[str, Any]:
    """Looks up the tensors that signatures name; those the graph lacks are left out."""
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


def _input_tensors(signature: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Gives every input of a signature its value, in the order of their names."""
    _check_input_count(signature, inputs)
    tensors = {}
    for alias in sorted(signature.inputs):
        if alias not in inputs and alias not in signature.defaults:
            _refuse(
                f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in "
                f"request and no default value provided. Inputs expected to be in the request "
                f"{_braced(inputs)}, or default input alias set: {','.join(sorted(signature.defaults))}"
            )
        tensors[alias] = _tensor(alias, inputs[alias] if alias in inputs else signature.defaults[alias])
    if not set(inputs) <= set(tensors):
        used = ",".join(sorted(set(inputs) & set(tensors)))
        _refuse(
            f"Inputs contains invalid name. Used request inputs: {used}, "
            f"request input: {','.join(sorted(inputs))}"
        )
    return tensors


def _check_input_count(signature: Any, inputs: Mapping[str, Any]) -> None:
    sent, known = set(inputs), set(signature.inputs)
    if len(sent) > len(known) or (len(sent) < len(known) and not signature.defaults):
        _refuse(
            f"input size does not match signature: {len(sent)}!={len(known)} "
            f"len({_braced(sent)}) != len({_braced(known)}). Sent extra: {_braced(sent - known)}. "
            f"Missing but required: {_braced(known - sent)}."
        )


def _tensor(alias: str, value: Any) -> Any:
    if not isinstance(value, TensorProto):
        return value
    try:
        return decode(value)
    except ValueError:
        _refuse(f"tensor parsing error: {alias}")


def _wanted_outputs(signature: Any, output_filter: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            _refuse(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_braced(signature.outputs)}."
            )
        if alias in seen:
            _refuse(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    return list(output_filter) or sorted(signature.outputs)


def _braced(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
