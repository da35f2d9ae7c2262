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

    TF Serving polls the folder and loads whatever number appears: it must never see half a version. A
    crash at any moment leaves the folder with the new version or without it; what was half written is
    removed by the next call. Calls for one folder wait for each other.

    Args:
        write: Writes a SavedModel, or whatever has versions, to the path it is given, whose name is the
            version's number; raises if it is not fit to be served.
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
    is_new = not model_folder.exists()
    model_folder.mkdir(parents=True, exist_ok=True)
    with _locked(model_folder):
        for left in model_folder.glob(f"{STAGING}*"):  # by a call that was killed: none else is under way
            shutil.rmtree(left, ignore_errors=True)
        number = 1 + max(versions(model_folder), default=0) if version is None else version
        _check_new(number, model_folder)
        # In the same folder: a rename is atomic within one file system only. No number, so not served.
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=model_folder))
        try:
            write(staging / str(number))
            _flush(staging)
            _check_new(number, model_folder)  # others than this function may put versions there
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


def _check_new(version: int, model_folder: Path) -> None:
    if version in versions(model_folder):
        raise FileExistsError(
            f"`version` must be new. Received: version={version}, which {model_folder} holds"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder against other calls; the system lets go of it when a process dies, however."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flush(folder: Path) -> None:
    """Writes files and directories through to the disk, so that a power cut can't empty what is renamed."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(parent) / name)
        sync(Path(parent))
