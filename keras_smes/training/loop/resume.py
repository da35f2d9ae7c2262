"""When a training writes checkpoints, and from which it may resume."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_smes.training.checkpoints import Checkpoint, Checkpoints
from keras_smes.training.config import differing_keys


class Checkpointer:
    """Writes the state of a training periodically, and reads it back.

    Args:
        folder: Folder of the checkpoints.
        config: The run's configuration as plain values; it must match to resume.
        minutes: Minutes between two checkpoints within an epoch; 0 writes one after each execution of steps.
            Each epoch ends with one as well. Defaults to `5.0`.
    """

    def __init__(self, folder: str | Path, config: Mapping[str, Any], minutes: float = 5.0) -> None:
        self.checkpoints = Checkpoints(folder)
        # A training resumes bit-identically under another memory bound.
        self.config = {name: value for name, value in config.items() if name != "memory"}
        self.minutes = minutes
        self._data = ""
        self._written = time.monotonic()

    def resume(self, data: str) -> Checkpoint | None:
        """Returns the latest state, or `None` if there is none.

        Raises:
            ValueError: The configuration or the data differ.
        """
        self._data = data
        found = self.checkpoints.latest()
        if found is not None:
            _check_same(self.checkpoints.folder, found.meta["config"], self.config)
            if found.meta["data"] != data:
                raise ValueError(
                    f"The run in {self.checkpoints.folder} must resume with the same rows: start over "
                    f"(--fresh) or use another folder. Received: data {data}, not {found.meta['data']}"
                )
        return found

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next checkpoint."""
        return time.monotonic() - self._written >= 60 * self.minutes

    def write(self, steps: int, progress: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Writes the state after `steps` steps."""
        meta = {"config": self.config, "data": self._data, "progress": progress}
        self.checkpoints.write(steps, meta, arrays)
        self._written = time.monotonic()


Session = Checkpointer  # its name until 0.2


def fingerprint(parts: Sequence[Mapping[str, np.ndarray]]) -> str:
    """Returns a digest of names, types, shapes and values of arrays, the same in every process."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        for name, values in part.items():
            digest.update(f"{name} {values.dtype} {values.shape};".encode())
            for array in _plain(values):
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _plain(values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns arrays without pointers; strings become lengths and bytes."""
    if not values.dtype.hasobject:
        return (values,)
    texts = [str(value).encode("utf-8", "surrogatepass") for value in values.flat]
    return np.array([len(text) for text in texts]), np.frombuffer(b"".join(texts), np.uint8)


def _check_same(folder: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    if differing := differing_keys(theirs, ours):
        raise ValueError(
            f"The unfinished run in {folder.parent} has another configuration: start over (--fresh) or use "
            f"another folder. Received: differing keys {differing}"
        )
