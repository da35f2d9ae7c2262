"""The embedded server: TensorFlow Serving's gRPC contract in one Python process.

It is for development, tests and small deployments. TensorFlow Serving takes its command line
unchanged.

```
python -m keras_smes.serving.server --model_name=smes --model_base_path=/models/smes --port=8500
```
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from keras_smes.serving.errors import grpc
from keras_smes.serving.flags import FlagError, Flags, parse_flags, usage
from keras_smes.serving.models import Model
from keras_smes.serving.services import add_services

DRAIN_SECONDS: Final = 30.0
"""How long requests under way may take once the server stops: what Kubernetes grants a pod."""

_NOTICE: Final = (
    "keras_smes embedded server: for development, tests and small deployments. "
    "In production run TensorFlow Serving, which takes this command line unchanged."
)
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.so_reuseport", 0),  # or a second server would quietly take half of the requests
)


class EmbeddedServer:
    """Serves the newest version of one SavedModel over gRPC.

    Answers PredictionService.Predict, PredictionService.GetModelMetadata and
    ModelService.GetModelStatus, with the codes and texts of TensorFlow Serving. It knows nothing
    of how the model was made.

    Args:
        model_name: str. The name that requests use.
        base_path: str or path. The directory that holds the version directories.
        port: int. TCP port; 0 takes any free one. Defaults to 0.
        host: str. The address to listen at. Defaults to `"127.0.0.1"`, this machine alone.
        max_threads: int. How many requests are worked on at a time, further ones wait; 0 is four
            for each core. Defaults to 0.

    Example:

    ```python
    with EmbeddedServer("smes", "models/smes") as server, Client(server.address) as client:
        client.predict("smes", {"user_id": [7], "item_id": [42]})
    ```
    """

    def __init__(
        self,
        model_name: str,
        base_path: str | os.PathLike[str],
        port: int = 0,
        host: str = "127.0.0.1",
        max_threads: int = 0,
    ) -> None:
        if not 0 <= port < 2**16:
            raise ValueError(f"`port` must be in [0, 65535]. Received: port={port}")
        if max_threads < 0:
            raise ValueError(f"`max_threads` must not be negative. Received: max_threads={max_threads}")
        self.model_name = model_name
        self.base_path = base_path
        self.port = port
        self.host = host
        self.max_threads = max_threads or 4 * (os.cpu_count() or 1)

    @property
    def address(self) -> str:
        """str. Where the server listens, as `host:port`; the real port once it has started."""
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Loads the model, then opens the port.

        Raises:
            FileNotFoundError: The base path holds no version.
            RuntimeError: The newest version can't be loaded, or the port is taken.
        """
        self._model = Model(self.model_name, self.base_path)
        self._grpc = grpc.server(ThreadPoolExecutor(self.max_threads), options=_CHANNEL_OPTIONS)
        add_services(self._grpc, self._model)
        try:
            self.port = self._grpc.add_insecure_port(self.address)
        except RuntimeError:
            self._model.close()
            raise
        self._grpc.start()

    def stop(self, grace: float = DRAIN_SECONDS) -> None:
        """Refuses new requests, finishes those under way and unloads the model.

        Args:
            grace: float, seconds. Requests that take longer are cancelled. Defaults to 30.
        """
        self._grpc.stop(grace).wait()
        self._model.close()

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def serve(argv: Sequence[str]) -> int:
    """Runs the command line of a server until SIGTERM or SIGINT, then drains.

    Args:
        argv: sequence of str. Flags as tensorflow_model_server spells them; see `flags.Flags`.

    Returns:
        int. The exit code: 0 after draining, 1 if the server could not start, 2 for flags that
        can't be used.

    Example:

    ```python
    sys.exit(serve(["--model_name=smes", "--model_base_path=/models/smes", "--port=8500"]))
    ```
    """
    try:
        flags = parse_flags(argv)
    except FlagError as error:
        return _failed(error, 2)
    if flags.help:
        print(usage())
        return 0
    print(_NOTICE, flush=True)
    try:
        return _run(flags)
    except (OSError, RuntimeError, ValueError) as error:
        return _failed(error, 1)


def _run(flags: Flags) -> int:
    server = EmbeddedServer(
        flags.model_name, flags.model_base_path, flags.port, "0.0.0.0", flags.grpc_max_threads
    )
    with _stop_signal() as stopped, server:
        print(f"Running gRPC ModelServer at {server.address} ...", flush=True)
        stopped.wait()
    return 0


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """Turns SIGTERM and SIGINT into an event, for as long as the block runs."""
    stopped = threading.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(number, lambda *_: stopped.set()) for number in signals]
    try:
        yield stopped
    finally:
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)


def _failed(error: Exception, code: int) -> int:
    print(error, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:]))
