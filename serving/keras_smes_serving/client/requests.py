"""The requests and responses of a client, independent of their transport."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import numpy as np

from keras_smes_serving.client.inputs import Array, SignatureSpec, as_columns, signature_spec, with_user
from keras_smes_serving.client.request_bytes import request_bytes
from keras_smes_serving.client.retry import Caller, Retry, Steps, checked_timeout
from keras_smes_serving.protocol import messages
from keras_smes_serving.protocol.dtypes import BY_NUMBER
from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.protocol.tensors import decode

DEFAULT_SIGNATURE: Final = "serving_default"
RANK_SIGNATURE: Final = "rank"
FUSED: Final = "fused"
ORDER: Final = "order"

# Status codes that another version of the model may not return.
_REJECTIONS: Final = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
)


@dataclass(frozen=True)
class ModelRef:
    """The requested model: its newest version, a version number, or a label."""

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ValueError(
                "`version` and `label` can't both be given. "
                f"Received: version={self.version}, label={self.label!r}"
            )

    def write(self, spec: Any) -> None:
        """Writes the target into a ModelSpec message."""
        spec.name = self.model
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label


@dataclass(frozen=True)
class Known:
    """The cached signatures of a model."""

    version: int
    signatures: Mapping[str, SignatureSpec]


@dataclass(frozen=True)
class Ranking:
    """Candidates in order, with their scores.

    Args:
        order: int64 array. Indices of the candidates, the best first.
        scores: dict of str to ndarray. The model's outputs, one row per candidate, in request order.
        fused: ndarray. The score behind the order.

    Example:

    ```python
    ranking = client.rank("smes", {"user_id": 7}, {"item_id": item_ids})
    best = item_ids[ranking.order[:10]]
    ```
    """

    order: Array
    scores: dict[str, Array]
    fused: Array


@dataclass(frozen=True)
class Requests:
    """The requests of a client, as steps for it to run.

    Args:
        timeout: float, seconds. The default deadline.
        retry: `Retry`.
        allow_nan: bool. Whether a float feature may hold NaN.
        typed_fields: bool. Whether tensors are sent in typed fields instead of blocks of bytes.
    """

    timeout: float
    retry: Retry
    allow_nan: bool
    typed_fields: bool
    _known: dict[ModelRef, Known] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_timeout(self.timeout)

    def predict(
        self,
        target: ModelRef,
        inputs: Mapping[str, Any],
        signature: str,
        outputs: Sequence[str] | None,
        timeout: float | None,
    ) -> Steps[dict[str, Array]]:
        """The steps of Predict; see `Client.predict`."""
        caller = self._caller(target, signature, timeout)
        return self._predicted(caller, target, lambda _: (signature, lambda _: inputs), outputs)

    def build(
        self,
        target: ModelRef,
        inputs: Mapping[str, Any],
        signature: str,
        outputs: Sequence[str] | None,
        timeout: float | None,
    ) -> Steps[bytes]:
        """The steps to build a request without sending it; see `Client.build`."""
        known = self._known.get(target)
        if known is None:
            known = yield from self._learned(self._caller(target, "", timeout), target)
        return self._predict_request(target, known, lambda _: (signature, lambda _: inputs), outputs)

    def rank(
        self,
        target: ModelRef,
        user: Mapping[str, Any],
        candidates: Mapping[str, Any],
        by: str | None,
        timeout: float | None,
    ) -> Steps[Ranking]:
        """The steps of a ranking; see `Client.rank`."""

        def choose(known: Known) -> tuple[str, Columns]:
            if RANK_SIGNATURE in known.signatures:
                return RANK_SIGNATURE, lambda spec: with_user(user, candidates, spec, tiled=False)
            return DEFAULT_SIGNATURE, lambda spec: with_user(user, candidates, spec, tiled=True)

        caller = self._caller(target, RANK_SIGNATURE, timeout)
        scores = yield from self._predicted(caller, target, choose, None)
        return _ranking(scores, by)

    def metadata(self, target: ModelRef, timeout: float | None) -> Steps[dict[str, SignatureSpec]]:
        """The steps of GetModelMetadata; see `Client.metadata`."""
        known = yield from self._learned(self._caller(target, "", timeout), target)
        return dict(known.signatures)

    def status(self, target: ModelRef, timeout: float | None) -> Steps[dict[int, str]]:
        """The steps of GetModelStatus; see `Client.status`."""
        request = messages.GetModelStatusRequest()
        target.write(request.model_spec)
        data = yield from self._caller(target, "", timeout).call(messages.STATUS, request.SerializeToString())
        response = _parsed(messages.GetModelStatusResponse(), data)
        return {
            told.version: messages.STATES.get(told.state, str(told.state))
            for told in response.model_version_status
        }

    def _caller(self, target: ModelRef, signature: str, timeout: float | None) -> Caller:
        seconds = checked_timeout(self.timeout if timeout is None else timeout)
        return Caller(target.model, signature, time.monotonic() + seconds, self.retry)

    def _predicted(
        self, caller: Caller, target: ModelRef, choose: Chooser, outputs: Sequence[str] | None
    ) -> Steps[dict[str, Array]]:
        """Sends a request for the cached signatures; if it fails, fetches them and retries, since the
        server may have loaded another version."""
        known = self._known.get(target)
        if known is not None:
            try:
                request = self._predict_request(target, known, choose, outputs)
                data = yield from caller.call(messages.PREDICT, request)
                return self._scores(target, known, data)
            except ServingError as error:
                if error.code not in _REJECTIONS:
                    raise
                fresh = yield from self._learned(caller, target)
                if fresh == known:
                    raise
            except ValueError:
                fresh = yield from self._learned(caller, target)
        else:
            fresh = yield from self._learned(caller, target)
        request = self._predict_request(target, fresh, choose, outputs)
        data = yield from caller.call(messages.PREDICT, request)
        return self._scores(target, fresh, data)

    def _learned(self, caller: Caller, target: ModelRef) -> Steps[Known]:
        """Fetches and caches the signatures of a model."""
        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        target.write(request.model_spec)
        data = yield from caller.call(messages.METADATA, request.SerializeToString())
        response = _parsed(messages.GetModelMetadataResponse(), data)
        told = _parsed(messages.SignatureDefMap(), response.metadata["signature_def"].value).signature_def
        signatures = {name: signature_spec(told[name]) for name in sorted(told)}
        known = self._known[target] = Known(response.model_spec.version.value, signatures)
        return known

    def _predict_request(
        self, target: ModelRef, known: Known, choose: Chooser, outputs: Sequence[str] | None
    ) -> bytes:
        signature, inputs = choose(known)
        if signature not in known.signatures:
            names = ", ".join(known.signatures)
            raise ValueError(
                f"`signature` must be one of the model: {names}. Received: signature={signature!r}"
            )
        spec = known.signatures[signature]
        request = messages.PredictRequest(output_filter=outputs or ())
        target.write(request.model_spec)
        request.model_spec.signature_name = signature
        columns = as_columns(inputs(spec), spec, self.allow_nan)
        return request_bytes(request, columns, self.typed_fields)

    def _scores(self, target: ModelRef, known: Known, data: bytes) -> dict[str, Array]:
        response = _parsed(messages.PredictResponse(), data)
        if response.model_spec.version.value != known.version:
            self._known.pop(target, None)  # another version answered
        return {name: _decoded(name, response.outputs[name]) for name in sorted(response.outputs)}


# From a signature to its inputs; and the choice of a signature with these.
Columns = Callable[[SignatureSpec], Mapping[str, Any]]
Chooser = Callable[[Known], tuple[str, Columns]]


def _parsed(message: Any, data: bytes) -> Any:
    try:
        message.ParseFromString(data)
    except messages.DecodeError as error:
        text = "The answer is no message of TensorFlow Serving"
        raise ServingError(grpc.StatusCode.INTERNAL, text) from error
    return message


def _decoded(name: str, proto: Any) -> Array:
    try:
        array = decode(proto)
    except ValueError as error:
        raise ServingError(grpc.StatusCode.INTERNAL, f"Output {name} is no tensor: {error}") from error
    kind = BY_NUMBER[proto.dtype]
    if array.size and not proto.tensor_content and not getattr(proto, kind.field):
        # The protocol would allow omitted zeros, but no server omits them: never make up scores.
        raise ServingError(grpc.StatusCode.INTERNAL, f"Output {name} has no values")
    return array


def _ranking(outputs: dict[str, Array], by: str | None) -> Ranking:
    """Orders candidates by the model's `order`, or by the named score."""
    scores = {name: output for name, output in outputs.items() if name != ORDER}
    name = by or (FUSED if FUSED in scores else next(iter(scores)) if len(scores) == 1 else None)
    if name not in scores:
        raise ValueError(f"`by` must be an output of the model: {', '.join(scores)}. Received: by={by!r}")
    fused = scores[name].ravel()
    order = outputs[ORDER].ravel() if ORDER in outputs and by is None else np.argsort(-fused, kind="stable")
    return Ranking(order.astype(np.int64, copy=False), scores, fused)
