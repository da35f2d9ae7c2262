"""Checkpoints: all arrays of a training's state in one file, written whole or not at all.

A file is an `.npz`: a zip, whose index stands at its end and which has a checksum for each array, so that
a truncated or damaged file is detected.
"""

import json
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_smes.files import clear_partial, write_whole
from keras_smes.validation import check_count

_META = "meta"
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class Checkpoint(NamedTuple):
    """What a checkpoint holds: JSON values and arrays by name."""

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Checkpoints:
    """The checkpoints in a folder, of which the last few are kept.

    A checkpoint is written under another name, forced to the disk, and then renamed: a kill at
    any moment leaves either the old files, or the old files and a complete new one.

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


def _to_array(meta: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(json.dumps(meta).encode(), np.uint8)


def _read(path: Path) -> Checkpoint:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return Checkpoint(json.loads(arrays.pop(_META).tobytes()), arrays)
