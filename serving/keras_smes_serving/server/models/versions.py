"""Which versions of a model should be served: its directories, by its policy."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

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


def aspired_versions(base_path: str | os.PathLike[str], policy: Any) -> dict[int, Path] | None:
    """Picks the versions that a policy asks for.

    Args:
        base_path: str or path. The directory of the model.
        policy: `ServableVersionPolicy` message: `latest` (of one version unless told otherwise,
            the default), `all` or `specific`.

    Returns:
        dict of int to path. Version to directory. None if there is no base path: it may be away
        for a moment, and nothing is unloaded for that.

    Example:

    ```python
    aspired_versions("models/smes", model_config.model_version_policy)
    ```
    """
    if not Path(base_path).is_dir():
        return None
    found = version_directories(base_path)
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return found
    if choice == "specific":
        return {version: found[version] for version in sorted(policy.specific.versions) if version in found}
    count = max(1, policy.latest.num_versions)
    return dict(list(found.items())[-count:])
