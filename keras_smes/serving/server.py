"""The embedded server: TensorFlow Serving's contract in one Python process.

It is for development, tests and small deployments. TensorFlow Serving takes its command line
unchanged.

```
python -m keras_smes.serving.server --model_name=smes --model_base_path=/models/smes --port=8500
```
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from keras_smes.serving.errors import ServingError
from keras_smes.serving.flags import FlagError, Flags, parse_flags, usage
from keras_smes.serving.model_server import DRAIN_SECONDS, ModelServer
from keras_smes.serving.versions import version_directories
from keras_smes.serving.xla import disable_xla

__all__ = ["DRAIN_SECONDS", "EmbeddedServer", "ModelServer", "serve"]

_NOTICE: Final = (
    "keras_smes embedded server: for development, tests and small deployments. "
    "In production run TensorFlow Serving, which takes this command line unchanged."
)


class EmbeddedServer(ModelServer):
    """Serves one model, from Python.

    Answers with the codes and texts of TensorFlow Serving, and serves each new version that
    appears. Where the command line waits for a version and retries a failed load, this raises.

    Args:
        model_name: str. The name that requests use.
        base_path: str or path. The directory that holds the version directories.
        port: int. TCP port; 0 takes any free one. Defaults to 0.
        host: str. The address to listen at. Defaults to `"127.0.0.1"`, this machine alone.
        max_threads: int. How many requests are worked on at a time, further ones wait; 0 is four
            for each core. Defaults to 0.
        rest_port: int. TCP port of the REST API; 0 takes any free one. Defaults to no REST API.
        **flags: Further flags of the command line, by name; see `flags.Flags`.

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
        rest_port: int | None = None,
        **flags: Any,
    ) -> None:
        if not model_name:
            raise ValueError(f"`model_name` must not be empty. Received: model_name={model_name!r}")
        if not 0 <= port < 2**16:
            raise ValueError(f"`port` must be in [0, 65535]. Received: port={port}")
        if max_threads < 0:
            raise ValueError(f"`max_threads` must not be negative. Received: max_threads={max_threads}")
        chosen = Flags(
            port=port,
            model_name=model_name,
            model_base_path=os.fspath(base_path),
            grpc_max_threads=max_threads,
            max_num_load_retries=0,
        )
        super().__init__(replace(chosen, **flags), host, rest_port)

    def start(self, gave_up: Callable[[], bool] = lambda: False) -> None:
        """Loads the model, then opens the ports.

        Args:
            gave_up: function without arguments. Returns True once nobody waits any more.

        Raises:
            FileNotFoundError: The base path holds no version.
            ServingError: No version can be loaded.
            RuntimeError: The port is taken.
        """
        base_path = self.flags.model_base_path
        if not version_directories(base_path):
            raise FileNotFoundError(
                f"`model_base_path` must hold a version directory named by a number, such as "
                f"{Path(base_path) / '1'}. Received: model_base_path={base_path!r}"
            )
        super().start(gave_up)


_SIGNAL_SECONDS: Final = 0.2
"""How often the main thread looks up: a signal that another thread received doesn't wake it."""


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
        return _failed(str(error), 2)
    if flags.help:
        print(usage())
        return 0
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)  # else each load is told twice
    os.environ.setdefault("GRPC_VERBOSITY", "INFO")  # a TLS handshake that fails leaves a line
    print(_NOTICE, flush=True)
    if not (flags.xla_cpu_compilation_enabled or flags.xla_gpu_compilation_enabled or disable_xla()):
        logging.warning("XLA can't be disabled here: a model that needs it fails in TensorFlow Serving")
    try:
        return _run(ModelServer(flags, "0.0.0.0"))
    except (OSError, RuntimeError, ServingError, ValueError) as error:
        return _failed(f"Failed to start server. Error: {error}", 1)


def _run(server: ModelServer) -> int:
    others = set(threading.enumerate())
    with _stop_signal() as stopped:
        server.start(stopped.is_set)
        try:
            if not stopped.is_set():
                if server.rest_port is not None:
                    print(f"Exporting HTTP/REST API at:{server.host}:{server.rest_port} ...", flush=True)
                print(f"Running gRPC ModelServer at {server.address} ...", flush=True)
            while not stopped.wait(_SIGNAL_SECONDS):
                pass
        finally:
            deadline = time.monotonic() + DRAIN_SECONDS
            server.stop(DRAIN_SECONDS)
    _end_if_late(set(threading.enumerate()) - others, deadline)
    return 0


def _end_if_late(threads: set[threading.Thread], deadline: float) -> None:
    """Ends the process if threads, which Python would wait for, are still at work by the deadline."""
    for thread in threads:
        if not thread.daemon:
            thread.join(max(_SIGNAL_SECONDS, deadline - time.monotonic()))
            if thread.is_alive():
                logging.warning("Ended after %.0f seconds, %s still at work", DRAIN_SECONDS, thread.name)
                logging.shutdown()
                os._exit(0)


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


def _failed(text: str, code: int) -> int:
    print(text, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:]))
