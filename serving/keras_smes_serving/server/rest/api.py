"""The REST API without HTTP: method, path and body in, status and JSON out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import unquote

import grpc
from google.protobuf import json_format

from keras_smes_serving.protocol.errors import ServingError, reject
from keras_smes_serving.server.api import SIGNATURE_DEF, Api
from keras_smes_serving.server.messages import (
    ClassificationRequest,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelSpec,
    RegressionRequest,
    SignatureDefMap,
)
from keras_smes_serving.server.metrics import Metrics
from keras_smes_serving.server.models.core import ServerCore
from keras_smes_serving.server.rest import json_outputs
from keras_smes_serving.server.rest.bodies import inflated
from keras_smes_serving.server.rest.json_examples import fill_examples
from keras_smes_serving.server.rest.json_inputs import parse_body, predict_inputs, signature_name
from keras_smes_serving.server.runtime.servable import DEFAULT_SIGNATURE

_MODEL: Final = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_POST: Final = re.compile(_MODEL + ":(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_GET: Final = re.compile(_MODEL + "(?:/(metadata))?", re.IGNORECASE | re.ASCII)
_ALL_MODELS: Final = re.compile("/v1/models(?:/metadata)?", re.IGNORECASE)
_MAX_VERSION: Final = 2**63 - 1
_TOO_DEEP: Final = "JSON Parse error: The document is nested too deeply."

_STATUSES: Final = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}


class Route(NamedTuple):
    """The meaning of a path: a model, and an operation."""

    spec: ModelSpec
    verb: str


@dataclass(frozen=True)
class Answer:
    """A response, and the labels of its metrics.

    Args:
        code: `grpc.StatusCode`. The status.
        text: str. The body, JSON.
        model: str. The model; empty if unknown.
        verb: str. `"predict"`, `"classify"` or `"regress"`; empty for others.
    """

    code: grpc.StatusCode
    text: str
    model: str = ""
    verb: str = ""

    @property
    def status(self) -> int:
        """int. The HTTP status."""
        return _STATUSES.get(self.code, 500)


class RestApi:
    """Handles REST requests with the models of a core.

    Args:
        core: `ServerCore`. The models.
        api: `Api`. Handles requests other than Predict.
        metrics: `Metrics`. Records run times.
        timeout: float, seconds. Deadline of a run.
    """

    def __init__(self, core: ServerCore, api: Api, metrics: Metrics, timeout: float) -> None:
        self._core = core
        self._api = api
        self._metrics = metrics
        self._timeout = timeout

    def answer(self, method: str, path: str, body: bytes, encoding: str = "") -> Answer:
        """Handles any request; errors are returned as responses.

        Args:
            method: str. Such as `"POST"`.
            path: str. The encoded path, without the query.
            body: bytes. The encoded body.
            encoding: str. The header `Content-Encoding`. Defaults to none.
        """
        target = Route(ModelSpec(), "")
        try:
            target = parse_path(method, path)
            code, text = grpc.StatusCode.OK, self._text(target, inflated(body, encoding))
        except ServingError as error:
            code, text = error.code, json_outputs.error_text(error.message)
        except RecursionError:
            code, text = grpc.StatusCode.INVALID_ARGUMENT, json_outputs.error_text(_TOO_DEEP)
        return Answer(code, text, self._api.counted_name(target.spec.name), target.verb)

    def _text(self, target: Route, body: bytes) -> str:
        if target.verb == "predict":
            return self._predict(target.spec, body)
        if target.verb == "classify":
            request = ClassificationRequest(model_spec=target.spec)
            _fill(request, body)
            return json_outputs.classifications(self._api.classify(request, self._timeout).result)
        if target.verb == "regress":
            request = RegressionRequest(model_spec=target.spec)
            _fill(request, body)
            return json_outputs.regressions(self._api.regress(request, self._timeout).result)
        return self._metadata(target.spec) if target.verb == "metadata" else self._status(target.spec)

    def _predict(self, spec: ModelSpec, body: bytes) -> str:
        document = parse_body(body)
        name = signature_name(document) or DEFAULT_SIGNATURE
        with self._core.use(spec) as (_, servable), self._metrics.runtime(spec.name, "Predict"):
            if name not in servable.signatures:
                reject(f'Serving signature name: "{name}" not found in signature def')
            infos = servable.signatures[name].inputs
            if not infos:
                reject(f"Failed to get input map for signature: {signature_name(document) or 'DEFAULT'}")
            inputs, as_rows = predict_inputs(document, infos)
            outputs = servable.predict(name, inputs, timeout=self._timeout)
        return json_outputs.predictions(outputs) if as_rows else json_outputs.outputs_by_name(outputs)

    def _status(self, spec: ModelSpec) -> str:
        return _pretty(_as_dict(self._api.status(GetModelStatusRequest(model_spec=spec))))

    def _metadata(self, spec: ModelSpec) -> str:
        request = GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
        response = self._api.metadata(request)
        signatures = SignatureDefMap()
        response.metadata[SIGNATURE_DEF].Unpack(signatures)
        document = {
            "model_spec": _as_dict(response.model_spec),
            "metadata": {SIGNATURE_DEF: _as_dict(signatures)},
        }
        return _pretty(document)


def parse_path(method: str, path: str) -> Route:
    """Parses the path of a request; the verb of a status request is empty.

    Raises:
        ServingError: INVALID_ARGUMENT for an unknown path.
    """
    if method == "GET" and _ALL_MODELS.fullmatch(path):
        reject("Missing model name in request.")
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    found = pattern.fullmatch(path) if pattern else None
    if found is None:
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, f"Malformed request: {method} {path}")
    name, version, label, verb = found.groups()
    spec = ModelSpec(name=unquote(name))
    if version is not None:
        if len(version.lstrip("0")) > 19 or int(version) > _MAX_VERSION:
            reject(f"Failed to convert version: {version} to numeric.")
        spec.version.value = int(version)
    if label is not None:
        spec.version_label = unquote(label)
    return Route(spec, (verb or "").lower())


def _fill(request: ClassificationRequest | RegressionRequest, body: bytes) -> None:
    document = parse_body(body)
    request.model_spec.signature_name = signature_name(document)
    fill_examples(document, request.input)


def _as_dict(message: object) -> object:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _pretty(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
