"""The embedded server: TensorFlow Serving's API in one Python process.

It is for development, tests and small deployments. TensorFlow Serving accepts the same command line.

```
python -m keras_smes_serving.server.main --model_name=smes --model_base_path=/models/smes --port=8500
```
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.server.flags import FlagError, parse_flags, usage
from keras_smes_serving.server.model_server import DRAIN_SECONDS, ModelServer
from keras_smes_serving.server.runtime.xla import disable_xla

__all__ = ["serve"]

_NOTICE: Final = (
    "keras_smes embedded server: for development, tests and small deployments. "
    "In production run TensorFlow Serving, which takes this command line unchanged."
)


_SIGNAL_SECONDS: Final = 0.2
"""Polling interval of the main thread: a signal received by another thread doesn't wake it."""


def serve(argv: Sequence[str]) -> int:
    """Runs the command line of a server until SIGTERM or SIGINT, then drains.

    Args:
        argv: sequence of str. Flags of tensorflow_model_server; see `flags.Flags`.

    Returns:
        int. The exit code: 0 after draining, 1 if the server can't start, 2 for invalid flags.
    """
    try:
        flags = parse_flags(argv)
    except FlagError as error:
        return _failed(str(error), 2)
    if flags.help:
        print(usage())
        return 0
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)  # avoids logging each load twice
    os.environ.setdefault("GRPC_VERBOSITY", "INFO")  # logs failed TLS handshakes
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
    """Ends the process if threads that Python would join are still running at the deadline."""
    for thread in threads:
        if not thread.daemon:
            thread.join(max(_SIGNAL_SECONDS, deadline - time.monotonic()))
            if thread.is_alive():
                logging.warning("Ended after %.0f seconds, %s still at work", DRAIN_SECONDS, thread.name)
                logging.shutdown()
                os._exit(0)


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """Turns SIGTERM and SIGINT into an event within the block."""
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
