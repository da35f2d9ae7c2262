"""Which servable answers: the models of a server, their versions and their states."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from keras_smes.serving.errors import ServingError, grpc
from keras_smes.serving.servable import Servable

_MAX_VERSION: Final = 2**63 - 1


def version_directories(base_path: str | os.PathLike[str]) -> dict[int, Path]:
    """Finds the versions of a model: the directories whose name is a number.

    Args:
        base_path: str or path. The directory of the model. It need not exist.

    Returns:
        dict of int to path. Version to directory, in rising order. `00000123` is version 123;
        anything that isn't a number (a version being written, say) is passed over.

    Example:

    ```python
    version_directories("models/smes")  # {1: Path("models/smes/1"), ...}
    ```
    """
    base = Path(base_path)
    children = sorted(base.iterdir()) if base.is_dir() else []
    named = {int(path.name): path for path in children if re.fullmatch("[0-9]+", path.name) and path.is_dir()}
    return {version: named[version] for version in sorted(named) if version <= _MAX_VERSION}


class Model:
    """One model with its newest version loaded.

    Args:
        name: str. The name that requests use.
        base_path: str or path. The directory that holds the version directories.

    Raises:
        FileNotFoundError: There is no version.
        RuntimeError: The newest version can't be loaded.

    Example:

    ```python
    model = Model("smes", "models/smes")
    model.version, model.servable.signatures
    ```
    """

    def __init__(self, name: str, base_path: str | os.PathLike[str]) -> None:
        if not name:
            raise ValueError(f"`model_name` must not be empty. Received: model_name={name!r}")
        versions = version_directories(base_path)
        if not versions:
            raise FileNotFoundError(
                f"`model_base_path` must hold a version directory named by a number, such as "
                f"{Path(base_path) / '1'}. Received: model_base_path={os.fspath(base_path)!r}"
            )
        self.name = name
        self.version, directory = list(versions.items())[-1]
        try:
            self.servable = Servable(directory)
        except Exception as error:  # the loader raises whatever the file made some part of it raise
            raise RuntimeError(f"Can't load version {self.version} of model {name}: {error}") from error

    def find(self, spec: Any) -> Servable:
        """Finds the servable that a request means.

        Args:
            spec: `ModelSpec` message of the request.

        Returns:
            `Servable`.

        Raises:
            ServingError: There is none: no name, an unknown name, version or label.

        Example:

        ```python
        model.find(request.model_spec).predict("", request.inputs)
        ```
        """
        if not spec.name:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            text = f"Unrecognized servable version label: {spec.version_label}"
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)
        # Version 0 is a version, not "the latest".
        if spec.name != self.name or (choice == "version" and spec.version.value != self.version):
            wanted = f"Specific({spec.name}, {spec.version.value})" if choice else f"Latest({spec.name})"
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}")
        return self.servable

    def available_versions(self, spec: Any) -> list[int]:
        """Lists the loaded versions that a status request means.

        Args:
            spec: `ModelSpec` message of the request. A label isn't looked at.

        Returns:
            list of int. Versions, the newest first.

        Raises:
            ServingError: There is none.

        Example:

        ```python
        model.available_versions(ModelSpec(name="smes"))  # [3]
        ```
        """
        asked = spec.version.value if spec.HasField("version") else None
        if spec.name == self.name and asked in (None, self.version):
            return [self.version]
        missing = "any versions" if asked is None else f"version {asked}"
        text = f"Could not find {missing} of model {spec.name}"
        raise ServingError(grpc.StatusCode.NOT_FOUND, text)

    def close(self) -> None:
        """Unloads the model. No request may be running, and none may follow."""
        self.servable.close()
