"""The versions of a model to serve: its directories, by its policy."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

_MAX_VERSION: Final = 2**63 - 1


def version_directories(base_path: str | os.PathLike[str]) -> dict[int, Path]:
    """Returns the version directories of a model in ascending order; other names are ignored.

    `00000123` is version 123.
    """
    base = Path(base_path)
    children = sorted(base.iterdir()) if base.is_dir() else []
    named = {int(path.name): path for path in children if re.fullmatch("[0-9]+", path.name) and path.is_dir()}
    return {version: named[version] for version in sorted(named) if version <= _MAX_VERSION}


def aspired_versions(base_path: str | os.PathLike[str], policy: Any) -> dict[int, Path] | None:
    """Returns the version directories of a policy: `latest` (one by default), `all` or `specific`.

    None if the base path is missing: it may only be temporary, so nothing is unloaded.
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
