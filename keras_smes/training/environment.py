"""Environment of a run: versions, machine and source commit, without host, user or path."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("keras_smes", "keras", "tensorflow", "numpy", "polars")


def describe_environment() -> dict[str, Any]:
    """Returns the environment of a run, as JSON values.

    `commit` is that of this package's source, with `+changes` if files differ, or `None` outside git.
    """
    import keras

    return {
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "accelerators": [kind for kind in _devices() if kind != "CPU"],
        "commit": _commit(Path(__file__).parent),
    }


def _devices() -> list[str]:
    import tensorflow as tf

    return [device.device_type for device in tf.config.list_physical_devices()]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(folder: Path) -> str | None:
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    return f"{commit}+changes" if _git(folder, "status", "--porcelain", "--", ".") else commit


def _git(folder: Path, *command: str) -> str | None:
    # An installed package may lie inside another project's checkout.
    if not (folder.parents[1] / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
