"""Publishing: a version appears in the model's folder whole, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def publish(write: Callable[[Path], None], model_folder: str | Path, version: int | None = None) -> Path:
    """Lets `write` fill a new version directory, then renames it into place.

    TF Serving polls the folder and loads whatever number appears: it must never see half a version.

    Args:
        write: Writes a SavedModel to the path it is given.
        model_folder: Folder of the model, which holds one directory a version; made if there is none.
        version: Number of the version, at least 1. Defaults to `None`, one more than the highest.

    Returns:
        The version's directory.

    Raises:
        ValueError: `version` is not positive.
        FileExistsError: There is such a version already; versions are never written over.
    """
    if version is not None and version < 1:
        raise ValueError(f"`version` must be at least 1. Received: version={version}")
    model_folder = Path(model_folder)
    model_folder.mkdir(parents=True, exist_ok=True)
    if version is None:
        version = 1 + max(versions(model_folder), default=0)
    target = model_folder / str(version)
    if version in versions(model_folder):
        raise FileExistsError(
            f"`version` must be new. Received: version={version}, which {model_folder} holds"
        )
    # In the same folder, because a rename is atomic within one file system only; no number, so not served.
    staging = Path(tempfile.mkdtemp(prefix=f".staging-{version}-", dir=model_folder))
    try:
        write(staging / "model")
        os.rename(staging / "model", target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def versions(model_folder: Path) -> list[int]:
    """Returns the versions that TF Serving would see: directories whose name is a number."""
    return sorted(
        int(child.name) for child in model_folder.iterdir() if child.name.isdecimal() and child.is_dir()
    )
