"""The embedded server of one model, from Python."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_smes_serving.server.flags import Flags
from keras_smes_serving.server.model_server import ModelServer
from keras_smes_serving.server.models.versions import version_directories


class EmbeddedServer(ModelServer):
    """Serves one model, from Python.

    It has the status codes and messages of TensorFlow Serving, and serves each new version that appears.
    Unlike the command line, it raises if there is no version or a load fails.

    Args:
        model_name: str. The name in requests.
        base_path: str or path. The directory that holds the version directories.
        port: int. TCP port; 0 takes any free one. Defaults to 0.
        host: str. The address to listen on. Defaults to `"127.0.0.1"`, this machine only.
        max_threads: int. Maximum number of concurrent requests, further ones wait; 0 is four per core.
            Defaults to 0.
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
        """Loads the model, then opens the ports; `gave_up` returns whether the caller has given up.

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
