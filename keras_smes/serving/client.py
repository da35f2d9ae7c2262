"""A client of the embedded server and of TensorFlow Serving alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from keras_smes.serving.columns import (
    Array,
    SignatureSpec,
    TensorSpec,
    as_columns,
    rows_to_columns,
    signature_spec,
)
from keras_smes.serving.errors import ServingError, grpc
from keras_smes.serving.messages import (
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelSpec,
    ModelVersionStatus,
    PredictRequest,
    SignatureDefMap,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from keras_smes.serving.protocol import decode, encode_content

__all__ = ["Client", "ServingError", "SignatureSpec", "TensorSpec", "rows_to_columns"]

_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


class Client:
    """Asks a server for predictions, over one channel that lives as long as the client.

    Requests are checked against the signature of the model before they are sent. A client may be
    used from several threads.

    Args:
        address: str. The server, as `host:port`.
        timeout: float, seconds. The deadline of every call that gives none. Defaults to 30.

    Example:

    ```python
    with Client("localhost:8500") as client:
        scores = client.predict("smes", {"user_id": [7, 7], "item_id": [42, 43]})
        scores["click"]  # array of float32, one score for each row
    ```
    """

    def __init__(self, address: str, timeout: float = 30.0) -> None:
        if timeout <= 0:
            raise ValueError(f"`timeout` must be positive. Received: timeout={timeout}")
        self.timeout = timeout
        self._channel = grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._known: dict[tuple[str, int | None], dict[str, SignatureSpec]] = {}

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        signature_name: str = "serving_default",
        version: int | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Scores rows.

        Args:
            model: str. The name of the model.
            inputs: mapping of str to ndarray or list. One value for each feature, rows first.
            signature_name: str. Defaults to `"serving_default"`.
            version: int. The version to ask. Defaults to the newest.
            outputs: sequence of str. The outputs wanted. Defaults to all.
            timeout: float, seconds. Defaults to that of the client.

        Returns:
            dict of str to ndarray. The outputs by name; strings are object arrays of bytes.

        Raises:
            ValueError: The inputs don't fit the signature; nothing was sent. The text names the
                feature and the value.
            ServingError: The server refused or failed, or can't be reached.

        Example:

        ```python
        client.predict("smes", {"user_id": [7], "item_id": [42]}, outputs=["click"])
        ```
        """
        columns = self._columns(model, version, signature_name, inputs)
        request = PredictRequest(model_spec=_model_spec(model, version), output_filter=outputs or ())
        request.model_spec.signature_name = signature_name
        for name, column in columns.items():
            encode_content(column, request.inputs[name])
        response = self._call(self._prediction.Predict, request, timeout)
        return {name: decode(response.outputs[name]) for name in sorted(response.outputs)}

    def metadata(
        self, model: str, version: int | None = None, timeout: float | None = None
    ) -> dict[str, SignatureSpec]:
        """Asks what a model takes and returns.

        Args:
            model: str. The name of the model.
            version: int. The version to ask about. Defaults to the newest.
            timeout: float, seconds. Defaults to that of the client.

        Returns:
            dict of str to `SignatureSpec`. The signatures by name.

        Raises:
            ServingError: The server doesn't know the model, or can't be reached.

        Example:

        ```python
        client.metadata("smes")["serving_default"].inputs["user_id"]  # TensorSpec("int64", (None,))
        ```
        """
        request = GetModelMetadataRequest(
            model_spec=_model_spec(model, version), metadata_field=["signature_def"]
        )
        response = self._call(self._prediction.GetModelMetadata, request, timeout)
        signatures = SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return {name: signature_spec(value) for name, value in sorted(signatures.signature_def.items())}

    def status(self, model: str, timeout: float | None = None) -> dict[int, str]:
        """Asks for the states of the versions of a model.

        Args:
            model: str. The name of the model.
            timeout: float, seconds. Defaults to that of the client.

        Returns:
            dict of int to str. Version to state, such as `"AVAILABLE"`, the newest first.

        Raises:
            ServingError: The server doesn't know the model, or can't be reached.

        Example:

        ```python
        client.status("smes")  # {3: "AVAILABLE"}
        ```
        """
        request = GetModelStatusRequest(model_spec=_model_spec(model, None))
        response = self._call(self._models.GetModelStatus, request, timeout)
        return {
            status.version: ModelVersionStatus.State.Name(status.state)
            for status in response.model_version_status
        }

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _columns(
        self, model: str, version: int | None, signature_name: str, inputs: Mapping[str, Any]
    ) -> dict[str, Array]:
        """Checks inputs against the signature as last seen, and once more against a fresh one:
        the server may have loaded another version since."""
        seen = self._known.get((model, version), {})
        if signature_name in seen:
            try:
                return as_columns(inputs, seen[signature_name])
            except ValueError:
                pass
        fresh = self._known[model, version] = self.metadata(model, version)
        if signature_name not in fresh:
            known = ", ".join(fresh)
            raise ValueError(
                f"`signature_name` must be one of the model: {known}. "
                f"Received: signature_name={signature_name!r}"
            )
        return as_columns(inputs, fresh[signature_name])

    def _call(self, method: Callable[..., Any], request: Any, timeout: float | None) -> Any:
        try:
            return method(request, timeout=self.timeout if timeout is None else timeout)
        except grpc.RpcError as error:
            raise ServingError(error.code(), error.details() or "") from error


def _model_spec(model: str, version: int | None) -> ModelSpec:
    spec = ModelSpec(name=model)
    if version is not None:
        spec.version.value = version
    return spec
