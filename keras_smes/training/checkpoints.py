"""Checkpoints: all arrays of a training's state in one file; files and folders written whole or not at all.

A file is an `.npz`: a zip, whose index stands at its end and which has a checksum for each array, so that
a file that was cut short or damaged is told from a good one.
"""

import contextlib
import json
import os
import shutil
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_smes.checks import check_count

_META = "meta"
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class Checkpoint(NamedTuple):
    """What a checkpoint holds: JSON values and arrays by name."""

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Checkpoints:
    """The checkpoints in a folder, of which the last few are kept.

    A checkpoint is written under another name, forced to the disk, and then renamed: whoever is killed at
    any moment leaves either the old files or the old files and a whole new one.

    Args:
        folder: Where they lie; made with the first one.
        keep: How many to keep, at least 1. Defaults to `2`: a file damaged later has one to fall back on.

    Example:

    >>> checkpoints = Checkpoints(folder)
    >>> checkpoints.write(7, {"epoch": 1}, {"kernel": np.ones(3)})
    >>> checkpoints.latest().meta
    {'epoch': 1}
    """

    def __init__(self, folder: str | Path, keep: int = 2) -> None:
        self.folder = Path(folder)
        self.keep = check_count("keep", keep)

    def write(self, number: int, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Writes a checkpoint and deletes those of lower numbers beyond `keep`.

        Args:
            number: Where in the training it is, such as steps; the highest is the latest.
            meta: JSON values.
            arrays: Arrays by name.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{number:012d}.npz"
        everything: dict[str, Any] = {_META: _to_array(meta), **arrays}
        write_whole(path, lambda file: np.savez(file, **everything))
        for old in self._paths()[self.keep :]:
            old.unlink()

    def latest(self) -> Checkpoint | None:
        """Reads the latest checkpoint that can be read; `None` if there is none at all.

        Raises:
            OSError: There are checkpoints, and none can be read.
        """
        paths = self._paths()
        for path in paths:
            try:
                return _read(path)
            except _UNREADABLE as error:
                warnings.warn(f"{path} can't be read and is passed over: {error!r}", stacklevel=2)
        if paths:
            raise OSError(f"No checkpoint in {self.folder} can be read: start over. Received: {paths}")
        return None

    def clear(self) -> None:
        """Deletes the checkpoints, whatever a killed writer left, and the folder if that empties it."""
        clear_partial(self.folder)
        for path in self._paths():
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.npz"), reverse=True)


_PARTIAL = ".partial-"


def write_whole(path: Path, write: Any) -> None:
    """Writes a file so that it is there whole or not at all, also after a crash of the machine.

    Args:
        path: The file; one that is there is replaced.
        write: Called with the open binary file.
    """
    with whole(path) as partial, partial.open("wb") as file:
        write(file)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a path to write a file under, which then takes its place: whole, or not at all.

    The path is this writer's own and keeps the ending of the name. An `OSError` within, such as that of a
    full disk, names `path`.
    """
    partial = path.with_name(f"{_PARTIAL}{uuid.uuid4().hex}-{path.name}")
    try:
        with _named_errors(path):
            yield partial
            _sync(partial)
            os.replace(partial, path)
            _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_set(folder: Path, names: Sequence[str]) -> Iterator[Callable[[str, Callable[[Path], Any]], None]]:
    """Yields a function that writes files which belong together; at the end they take their places.

    The last of the names says that the others are there: it is withdrawn before the first file is replaced,
    and comes back when all are. A writer that is killed leaves the old set, or one without its last file; one
    that fails, as on a full disk, leaves the old set.

    Args:
        folder: Where the files belong; made if there is none.
        names: Names of all files of such a set; those that aren't written are removed.

    Example:

    >>> with whole_set(folder, ["config.json", "metrics.json"]) as write:
    ...     write("config.json", lambda path: path.write_text("{}"))
    ...     write("metrics.json", lambda path: path.write_text("{}"))
    """
    staging = folder / f"{_PARTIAL}{uuid.uuid4().hex}"
    staging.mkdir(parents=True)

    def write(name: str, how: Callable[[Path], Any]) -> None:
        with _named_errors(folder / name):
            how(staging / name)
            _sync(staging / name)

    try:
        yield write
        _replace_set(staging, folder, names)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _replace_set(staging: Path, folder: Path, names: Sequence[str]) -> None:
    (folder / names[-1]).unlink(missing_ok=True)
    _sync(folder)
    for name in names[:-1]:
        if (staging / name).exists():
            os.replace(staging / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    _sync(folder)
    os.replace(staging / names[-1], folder / names[-1])
    _sync(folder)


def clear_partial(folder: Path) -> None:
    """Deletes what killed writers left in a folder: call it where there is no other writer."""
    for path in folder.glob(f"{_PARTIAL}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise OSError(f"{path} can't be written: {error}") from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def _sync(path: Path) -> None:
    """Waits until a file, or a folder's names, are on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _to_array(meta: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(json.dumps(meta).encode(), np.uint8)


def _read(path: Path) -> Checkpoint:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return Checkpoint(json.loads(arrays.pop(_META).tobytes()), arrays)
