"""Checkpoints: all arrays of a training state in one file, written atomically.

A file is an `.npz`, a zip with a checksum per array, so truncated or damaged files are detected.
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
    """Content of a checkpoint: JSON values, and arrays by name."""

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Checkpoints:
    """The checkpoints in a folder, of which the last few are kept.

    A checkpoint is written under a temporary name, flushed to disk, and then renamed. A kill at any moment
    leaves the old files, with or without a complete new one.

    Args:
        folder: Their folder, created by the first `write`.
        keep: Number of checkpoints to keep, at least 1. Defaults to `2`, a fallback if the last is damaged.

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
        """Writes a checkpoint and deletes older ones beyond `keep`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{number:012d}.npz"
        everything: dict[str, Any] = {_META: np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays}
        write_whole(path, lambda file: np.savez(file, **everything))
        for old in self._paths()[self.keep :]:
            old.unlink()

    def latest(self) -> Checkpoint | None:
        """Reads the latest readable checkpoint; `None` if there is none at all.

        Raises:
            OSError: There are checkpoints, but none is readable.
        """
        paths = self._paths()
        for path in paths:
            try:
                return _read(path)
            except _UNREADABLE as error:
                warnings.warn(f"{path} can't be read and is skipped: {error!r}", stacklevel=2)
        if paths:
            raise OSError(f"No checkpoint in {self.folder} can be read: start over. Received: {paths}")
        return None

    def clear(self) -> None:
        """Deletes the checkpoints, partial files of a killed writer, and the folder if it is then empty."""
        clear_partial(self.folder)
        for path in self._paths():
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.npz"), reverse=True)


def _read(path: Path) -> Checkpoint:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return Checkpoint(json.loads(arrays.pop(_META).tobytes()), arrays)
