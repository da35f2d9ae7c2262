"""The client of the embedded server and of TensorFlow Serving alike, without TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc

from keras_smes_serving.client.base import BaseClient
from keras_smes_serving.client.inputs import Array, SignatureSpec
from keras_smes_serving.client.requests import DEFAULT_SIGNATURE, Ranking, Target
from keras_smes_serving.client.retry import Call, Wait, run
from keras_smes_serving.protocol.errors import ServingError


class Client(BaseClient):
    """Asks a server for predictions, over one channel that lives as long as the client.

    Requests are checked against the signature of the model before they are sent. A client may be
    used from several threads.

    Args:
        address: str. The server, as `host:port`.
        timeout: float, seconds. The deadline of every request that gives none, with all that it
            takes; infinity for no deadline. Defaults to 30.
        retry: `Retry`. How often a call that found no server is made again. Defaults to `Retry()`,
            three calls in all.
        allow_nan: bool. Whether a float feature may hold NaN, as models do that take it for
            "missing". Defaults to `True`.
        typed_fields: bool. Whether tensors are sent in typed fields instead of blocks of bytes:
            slower, for servers that can't read the latter. Defaults to `False`.
        on_call: `OnCall`. Told of each call: model, signature, code, seconds, bytes sent, bytes
            received. Defaults to `None`, no function.
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
            inputs: mapping of str to ndarray or list. One value for each feature, rows first.
            signature: str. Defaults to `"serving_default"`.
            outputs: sequence of str. The outputs wanted. Defaults to all.
            version: int. The version to ask. Defaults to the newest.
            label: str. The label of the version to ask, instead of its number.
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
        target = Target(model, version, label)
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
        """Puts the candidates of one user in order.

        A model with the signature `rank` is sent the user once. For any other the user's features
        are repeated for every candidate, and `serving_default` is asked.

        Args:
            model: str. The name of the model.
            user: mapping of str to value. The features of the user and the context, each one value,
                or one row of values.
            candidates: mapping of str to ndarray or list. The other features, a row a candidate.
            by: str. The output to sort by, highest first; the earlier candidate wins a tie.
                Defaults to the model's own `order`, else to its output `fused`, or to its only one.
            version: int. The version to ask. Defaults to the newest.
            label: str. The label of the version to ask, instead of its number.
            timeout: float, seconds. Defaults to that of the client.

        Returns:
            `Ranking`. The order, the scores by task, and the score that made the order.

        Raises:
            ValueError: The features don't fit the signature; or the model puts out several scores
                and `by` names none of them.
            ServingError: The server refused or failed, or can't be reached.

        Example:

        ```python
        client.rank("smes", {"user_id": 7}, {"item_id": [42, 43, 44]}, by="click").order
        ```
        """
        target = Target(model, version, label)
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
        """Builds the request that `predict` would send, without sending it: to replay or to keep it.

        Args:
            model: str. The name of the model.
            inputs: mapping of str to ndarray or list. One value for each feature, rows first.
            signature: str. Defaults to `"serving_default"`.
            outputs: sequence of str. The outputs wanted. Defaults to all.
            version: int. The version to ask. Defaults to the newest.
            label: str. The label of the version to ask, instead of its number.
            timeout: float, seconds. To ask for the signature, where it isn't known yet. Defaults to
                that of the client.

        Returns:
            bytes. A serialized `PredictRequest`.

        Raises:
            ValueError: The inputs don't fit the signature.
            ServingError: The signature is unavailable.

        Example:

        ```python
        PredictRequest.FromString(client.build("smes", {"user_id": [7], "item_id": [42]}))
        ```
        """
        target = Target(model, version, label)
        return run(self._requests.build(target, inputs, signature, outputs, timeout), self._take)

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, SignatureSpec]:
        """Asks what a model takes and returns.

        Args:
            model: str. The name of the model.
            version: int. The version to ask about. Defaults to the newest.
            label: str. The label of the version to ask about, instead of its number.
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
        return run(self._requests.metadata(Target(model, version, label), timeout), self._take)

    def status(self, model: str, *, timeout: float | None = None) -> dict[int, str]:
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
        return run(self._requests.status(Target(model), timeout), self._take)

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
