"""Environment of a run or an export: versions, machine and source commit, without host, user or path."""

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
    import tensorflow as tf

    devices = [device.device_type for device in tf.config.list_physical_devices()]
    commit, is_changed = source_commit() or (None, False)
    return {
        "packages": {name: version for name in PACKAGES if (version := package_version(name))},
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "accelerators": [kind for kind in devices if kind != "CPU"],
        "commit": f"{commit}+changes" if is_changed else commit,
    }


def package_version(package: str) -> str | None:
    """Returns the version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def source_commit() -> tuple[str, bool] | None:
    """Returns the commit of this package's checkout, and whether files differ from it; `None` outside git."""
    try:
        tracked = _git("ls-files", "--", "__init__.py")  # not so within another project's checkout
        return (
            (_git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--", "."))) if tracked else None
        )
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*command: str) -> str:
    run = ["git", "-C", str(Path(__file__).parent), *command]
    return subprocess.run(run, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
