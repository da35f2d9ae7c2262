"""A loaded version of a model, run by signature."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from tensorflow.core.framework.tensor_pb2 import TensorProto

from keras_smes_serving.protocol.errors import ServingError, reject
from keras_smes_serving.protocol.tensors import decode
from keras_smes_serving.server.runtime.session import Runner

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class _Signature:
    """A SignatureDef as plain dicts, for fast lookups: alias to tensor name, in the order of aliases, and
    alias to default."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    defaults: Mapping[str, Any]


class Servable:
    """A loaded version of a SavedModel, run by signature from any thread.

    Args:
        runner: `Runner`. The session of the model.
        max_executors: int. Maximum number of sets of outputs with their own executor, which a session never
            frees. Further sets compute all outputs and return the requested ones. Defaults to 64.
    """

    def __init__(self, runner: Runner, max_executors: int = 64) -> None:
        self.signatures = runner.signatures
        self._plain = {name: _plain(signature) for name, signature in runner.signatures.items()}
        self._runner = runner
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
            signature_name: str. The signature; empty for `serving_default`.
            inputs: mapping of str to ndarray or TensorProto. A value for each input without default. Strings
                are object arrays of bytes.
            output_filter: sequence of str. The outputs to return. Defaults to all of them.
            timeout: float, seconds. Cancels the run. Defaults to never.

        Raises:
            ServingError: With the code and message of TensorFlow Serving.
        """
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self._plain:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
            )
        signature = self._plain[name]
        tensors = _input_tensors(signature, inputs)
        feeds = {signature.inputs[alias]: value for alias, value in tensors.items()}
        requested = _requested_outputs(signature, output_filter)
        fetched = self._fetched(name, signature, requested)
        fetches = [signature.outputs[alias] for alias in fetched]
        values = dict(zip(fetched, self._runner.run(feeds, fetches, timeout), strict=True))
        return {alias: values[alias] for alias in requested}

    def run(self, inputs: Mapping[str, Any], outputs: Sequence[str], timeout: float | None) -> dict[str, Any]:
        """Runs the graph by tensor names, for APIs without aliases; returns the outputs by name."""
        return dict(zip(outputs, self._runner.run(inputs, outputs, timeout), strict=True))

    def close(self) -> None:
        """Frees the session. No prediction may be running, and none may follow."""
        self._runner.close()

    def _fetched(self, name: str, signature: _Signature, requested: Sequence[str]) -> list[str]:
        """The outputs to compute: the requested ones, sorted, or all beyond `max_executors` sets."""
        key = (name, frozenset(requested))
        with self._lock:
            if key in self._executors or len(self._executors) < self._max_executors:
                self._executors.add(key)
                return sorted(requested)
        return list(signature.outputs)


def _plain(signature: Any) -> _Signature:
    def names(tensors: Any) -> dict[str, str]:
        return {alias: tensors[alias].name for alias in sorted(tensors)}

    return _Signature(names(signature.inputs), names(signature.outputs), dict(signature.defaults))


def _input_tensors(signature: _Signature, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a value for every input of a signature, in the order of names."""
    _check_input_count(signature, inputs)
    tensors = {}
    for alias, name in signature.inputs.items():
        if alias not in inputs and alias not in signature.defaults:
            reject(
                f"Signature input alias: {alias}(feed name: {name}) not found in "
                f"request and no default value provided. Inputs expected to be in the request "
                f"{_braced(inputs)}, or default input alias set: {','.join(sorted(signature.defaults))}"
            )
        tensors[alias] = _tensor(alias, inputs[alias] if alias in inputs else signature.defaults[alias])
    if not set(inputs) <= set(tensors):
        used = ",".join(sorted(set(inputs) & set(tensors)))
        reject(
            f"Inputs contains invalid name. Used request inputs: {used}, "
            f"request input: {','.join(sorted(inputs))}"
        )
    return tensors


def _check_input_count(signature: _Signature, inputs: Mapping[str, Any]) -> None:
    sent, known = set(inputs), set(signature.inputs)
    if len(sent) > len(known) or (len(sent) < len(known) and not signature.defaults):
        reject(
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
        reject(f"tensor parsing error: {alias}")


def _requested_outputs(signature: _Signature, output_filter: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    for alias in output_filter:
        if alias not in signature.outputs:
            reject(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_braced(signature.outputs)}."
            )
        if alias in seen:
            reject(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    return list(output_filter) or list(signature.outputs)


def _braced(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
