"""A client of TensorFlow Serving and of the embedded server, without TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc

from keras_smes_serving.client.base import BaseClient
from keras_smes_serving.client.inputs import Array, SignatureSpec
from keras_smes_serving.client.requests import DEFAULT_SIGNATURE, ModelRef, Ranking
from keras_smes_serving.client.retry import Call, Wait, run
from keras_smes_serving.protocol.errors import ServingError


class Client(BaseClient):
    """Requests predictions from a server, over one channel that lives as long as the client.

    Requests are validated against the signature of the model before they are sent. All methods may be called
    from several threads.

    Args:
        address: str. The server, as `host:port`.
        timeout: float, seconds. The deadline of requests without their own, for all their calls; infinity
            for none. Defaults to 30.
        retry: `Retry`. Retries of calls that reach no server. Defaults to `Retry()`, three calls in all.
        allow_nan: bool. Whether a float feature may hold NaN, for models that treat it as missing. Defaults
            to `True`.
        typed_fields: bool. Whether tensors are sent in typed fields instead of blocks of bytes: slower, for
            servers that can't read the latter. Defaults to `False`.
        on_call: `OnCall`. Called after each call with model, signature, code, seconds, bytes sent and bytes
            received. Defaults to `None`.
        credentials: `grpc.ChannelCredentials`. For TLS. Defaults to none.
        options: sequence of (str, value). Further options of the gRPC channel. Defaults to none.

    Example:

    ```python
    with Client("localhost:8500") as client:
        scores = client.predict("smes", {"user_id": [7, 7], "item_id": [42, 43]})
        scores["click"]  # array of float32, one score for each row
    ```
    """

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        signature: str = DEFAULT_SIGNATURE,
        *,
        outputs: Sequence[str] | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Scores rows.

        Args:
            model: str. The name of the model.
            inputs: mapping of str to ndarray or list. The values of each feature, rows first.
            signature: str. Defaults to `"serving_default"`.
            outputs: sequence of str. The outputs to return. Defaults to all.
            version: int. The version of the model. Defaults to the newest.
            label: str. The label of the version, instead of its number.
            timeout: float, seconds. Defaults to that of the client.

        Returns:
            dict of str to ndarray. The outputs by name; strings are object arrays of bytes.

        Raises:
            ValueError: The inputs don't match the signature; nothing was sent. The message names the
                feature and the value.
            ServingError: The server rejected the request, failed, or can't be reached.

        Example:

        ```python
        client.predict("smes", {"user_id": [7], "item_id": [42]}, outputs=["click"])
        ```
        """
        target = ModelRef(model, version, label)
        return run(self._requests.predict(target, inputs, signature, outputs, timeout), self._take)

    def rank(
        self,
        model: str,
        user: Mapping[str, Any],
        candidates: Mapping[str, Any],
        *,
        by: str | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> Ranking:
        """Ranks the candidates of one user.

        A model with the signature `rank` receives the user once. For other models the user's features are
        repeated for each candidate and sent to `serving_default`.

        Args:
            model: str. The name of the model.
            user: mapping of str to value. The features of the user and the context, each one value,
                or one row of values.
            candidates: mapping of str to ndarray or list. The other features, one row per candidate.
            by: str. The output to sort by, highest first; ties go to the earlier candidate.
                Defaults to the model's own `order`, else to its output `fused`, or to its only one.
            version: int. The version of the model. Defaults to the newest.
            label: str. The label of the version, instead of its number.
            timeout: float, seconds. Defaults to that of the client.

        Returns:
            `Ranking`. The order, the scores by task, and the score behind the order.

        Raises:
            ValueError: The features don't match the signature; or the model has several outputs and `by`
                names none of them.
            ServingError: The server rejected the request, failed, or can't be reached.

        Example:

        ```python
        client.rank("smes", {"user_id": 7}, {"item_id": [42, 43, 44]}, by="click").order
        ```
        """
        target = ModelRef(model, version, label)
        return run(self._requests.rank(target, user, candidates, by, timeout), self._take)

    def build(
        self,
        model: str,
        inputs: Mapping[str, Any],
        signature: str = DEFAULT_SIGNATURE,
        *,
        outputs: Sequence[str] | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """Builds the request of `predict` without sending it.

        Args:
            model: str. The name of the model.
            inputs: mapping of str to ndarray or list. The values of each feature, rows first.
            signature: str. Defaults to `"serving_default"`.
            outputs: sequence of str. The outputs to return. Defaults to all.
            version: int. The version of the model. Defaults to the newest.
            label: str. The label of the version, instead of its number.
            timeout: float, seconds. Deadline for fetching the signature, if it isn't cached. Defaults to
                that of the client.

        Returns:
            bytes. A serialized `PredictRequest`.

        Raises:
            ValueError: The inputs don't match the signature.
            ServingError: The signature is unavailable.

        Example:

        ```python
        PredictRequest.FromString(client.build("smes", {"user_id": [7], "item_id": [42]}))
        ```
        """
        target = ModelRef(model, version, label)
        return run(self._requests.build(target, inputs, signature, outputs, timeout), self._take)

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, SignatureSpec]:
        """Returns the signatures of a model.

        Args:
            model: str. The name of the model.
            version: int. The version of the model. Defaults to the newest.
            label: str. The label of the version, instead of its number.
            timeout: float, seconds. Defaults to that of the client.

        Returns:
            dict of str to `SignatureSpec`. The signatures by name.

        Raises:
            ServingError: The model is unknown, or the server can't be reached.

        Example:

        ```python
        client.metadata("smes")["serving_default"].inputs["user_id"]  # TensorSpec("int64", (None,))
        ```
        """
        return run(self._requests.metadata(ModelRef(model, version, label), timeout), self._take)

    def status(self, model: str, *, timeout: float | None = None) -> dict[int, str]:
        """Returns the states of a model's versions.

        Args:
            model: str. The name of the model.
            timeout: float, seconds. Defaults to that of the client.

        Returns:
            dict of int to str. Version to state, such as `"AVAILABLE"`, the newest first.

        Raises:
            ServingError: The model is unknown, or the server can't be reached.

        Example:

        ```python
        client.status("smes")  # {3: "AVAILABLE"}
        ```
        """
        return run(self._requests.status(ModelRef(model), timeout), self._take)

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

    def _open(self, address: str, credentials: Any, options: list[tuple[str, Any]]) -> grpc.Channel:
        if credentials is None:
            return grpc.insecure_channel(address, options)
        return grpc.secure_channel(address, credentials, options)

    def _take(self, step: Call | Wait) -> bytes:
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            return b""
        began = time.perf_counter()
        try:
            answer: bytes = self._method(step.method)(step.request, timeout=step.timeout)
        except grpc.RpcError as error:
            self._report(step, began, error.code(), 0)
            raise ServingError(error.code(), error.details() or "") from error
        self._report(step, began, grpc.StatusCode.OK, len(answer))
        return answer
