"""Models by configuration, and versions by number or by label."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import grpc

from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.server.messages import ModelServerConfig
from keras_smes_serving.server.models.configs import check_models, check_transition
from keras_smes_serving.server.models.manager import Manager
from keras_smes_serving.server.models.source import FileSystemSource, Periodic
from keras_smes_serving.server.models.states import State, StateBoard, Status
from keras_smes_serving.server.runtime.servable import Servable


class ServerCore:
    """The models of a server, which may change while it runs.

    Args:
        manager: `Manager`. Loads and unloads.
        board: `StateBoard` of the manager.
        poll_seconds: float. Polling interval of the file system; 0 polls only when the configuration is set,
            and a negative number never. Defaults to 1.
        labels_in_advance: bool. Whether a new label may be assigned to a version that isn't available yet.
            Defaults to False.
    """

    def __init__(
        self, manager: Manager, board: StateBoard, poll_seconds: float = 1, labels_in_advance: bool = False
    ) -> None:
        self._manager = manager
        self._board = board
        self._source = FileSystemSource(manager.aspire)
        self._looks = poll_seconds >= 0
        self._labels_in_advance = labels_in_advance
        self._config = ModelServerConfig()
        self._labels: Mapping[str, Mapping[str, int]] = {}
        self._reloading = threading.Lock()
        self._poll = Periodic(self._source.poll, poll_seconds, "poll of the base paths")

    def reload(self, config: ModelServerConfig, gave_up: Callable[[], bool] = lambda: False) -> None:
        """Serves the models of a configuration, and only these.

        Args:
            config: `ModelServerConfig` message. All the models.
            gave_up: function without arguments. Returns whether the caller has given up.

        Raises:
            ServingError: The configuration is rejected, or a new model has no loadable version. As in
                TensorFlow Serving, a configuration rejected for its labels is kept anyway.
        """
        with self._reloading:
            old, new = self._config.model_config_list.config, config.model_config_list.config
            if not config.WhichOneof("config"):
                return
            if config.WhichOneof("config") != "model_config_list":
                raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Invalid ServerModelConfig")
            check_models(new)
            check_transition(old, new)
            known = {model.name for model in old}
            self._config = ModelServerConfig()
            self._config.CopyFrom(config)
            self._labels = self._checked_labels(new)
            mark = self._board.mark()
            self._source.watch({model.name: model for model in self._config.model_config_list.config})
            if self._looks:
                self._source.poll()
            what = "model" if known else "servable"
            self._wait_for(what, [model.name for model in new if model.name not in known], mark, gave_up)

    def use(self, spec: Any) -> AbstractContextManager[tuple[int, Servable]]:
        """Lends the servable of a request's ModelSpec, with its version number.

        Raises:
            ServingError: There is no name, or an unknown name, version or label.
        """
        if not spec.name:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            return self._manager.use(spec.name, self._labelled(spec.name, spec.version_label))
        # Version 0 is a version, not "the latest".
        return self._manager.use(spec.name, spec.version.value if choice else None)

    def knows(self, name: str) -> bool:
        """Returns whether a model was ever configured."""
        return bool(self._board.versions(name))

    def status(self, spec: Any) -> dict[int, Status]:
        """Returns the states of the versions in a ModelSpec, newest first, ended ones included.

        Labels are ignored.

        Raises:
            ServingError: NOT_FOUND: there is none.
        """
        states = self._board.versions(spec.name)
        requested = spec.version.value if spec.HasField("version") else None
        if requested is not None and requested in states:
            return {requested: states[requested]}
        if requested is not None or not states:
            missing = "any versions" if requested is None else f"version {requested}"
            text = f"Could not find {missing} of model {spec.name}"
            raise ServingError(grpc.StatusCode.NOT_FOUND, text)
        return states

    def close(self, timeout: float = threading.TIMEOUT_MAX) -> None:
        """Stops polling and unloads everything, or gives up after the timeout in seconds."""
        deadline = time.monotonic() + timeout
        self._poll.stop(timeout)
        self._manager.close(max(0.0, deadline - time.monotonic()))

    def _labelled(self, name: str, label: str) -> int:
        try:
            return self._labels[name][label]
        except KeyError:
            text = f"Unrecognized servable version label: {label}"
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text) from None

    def _checked_labels(self, models: Iterable[Any]) -> dict[str, dict[str, int]]:
        labels: dict[str, dict[str, int]] = {}
        for model in models:
            states = self._board.versions(model.name)
            for label, version in model.version_labels.items():
                pointed = self._labels.get(model.name, {}).get(label, version)
                in_advance = self._labels_in_advance and pointed == version
                available = version in states and states[version].state is State.AVAILABLE
                if not available and not in_advance:
                    raise ServingError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {model.name}, which is "
                        "not currently available for inference",
                    )
                labels.setdefault(model.name, {})[label] = version
        return labels

    def _wait_for(self, what: str, names: Iterable[str], mark: int, gave_up: Callable[[], bool]) -> None:
        failed = self._board.wait_for_models(names, mark, gave_up)
        versions = [(name, n, status) for name, states in failed.items() for n, status in states.items()]
        if versions:
            told = "".join(
                f"{{{{name: {name} version: {number}}} due to error: {status}}}, "
                for name, number, status in versions
            )
            text = f"{len(versions)} {what}(s) did not become available: {{{told}}}"
            raise ServingError(grpc.StatusCode.UNKNOWN, text)
