"""Publishing: a version appears in the model's folder atomically."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_smes.files import sync

STAGING = ".staging-"


def publish(write: Callable[[Path], None], model_folder: str | Path, version: int | None = None) -> Path:
    """Lets `write` fill a new version directory, then renames it into place.

    TF Serving polls the folder and loads new versions, so it must never see an incomplete one. A crash leaves
    the folder with or without the new version; the next call removes temporary files. Concurrent calls for
    one folder wait for each other.

    Args:
        write: Writes a version to the given path, whose name is the version's number. An exception prevents
            the publication.
        model_folder: Folder of the model, which holds one directory per version; created if missing.
        version: Number of the version, at least 1. Defaults to `None`, one more than the highest.

    Returns:
        The version's directory.

    Raises:
        ValueError: `version` is not positive.
        FileExistsError: The version exists already; versions are never overwritten.
    """
    if version is not None and version < 1:
        raise ValueError(f"`version` must be at least 1. Received: version={version}")
    model_folder = Path(model_folder)
    is_new = not model_folder.exists()
    model_folder.mkdir(parents=True, exist_ok=True)
    with _locked(model_folder):
        for left in model_folder.glob(f"{STAGING}*"):  # by a killed call, as this one holds the lock
            shutil.rmtree(left, ignore_errors=True)
        number = 1 + max(versions(model_folder), default=0) if version is None else version
        _check_new(number, model_folder)
        # In the same folder, as a rename is atomic only within a file system. TF Serving ignores the name.
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=model_folder))
        try:
            write(staging / str(number))
            _flush(staging)
            _check_new(number, model_folder)  # other programs may write versions too
            os.rename(staging / str(number), model_folder / str(number))
            sync(model_folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            if is_new and not any(model_folder.iterdir()):
                model_folder.rmdir()
    return model_folder / str(number)


def versions(model_folder: Path) -> list[int]:
    """Returns the versions that TF Serving would see: directories whose name is a number."""
    return sorted(
        int(child.name) for child in model_folder.iterdir() if child.name.isdecimal() and child.is_dir()
    )


def newest(model_folder: Path) -> Path | None:
    """Returns the directory of the newest version, `None` without one."""
    found = versions(model_folder) if model_folder.is_dir() else []
    return model_folder / str(found[-1]) if found else None


def _check_new(version: int, model_folder: Path) -> None:
    if version in versions(model_folder):
        raise FileExistsError(
            f"`version` must be new. Received: version={version}, which {model_folder} holds"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Locks the folder; the operating system releases the lock when the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flush(folder: Path) -> None:
    """Flushes files and directories to disk, so that a power failure can't truncate published files."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(parent) / name)
        sync(Path(parent))
