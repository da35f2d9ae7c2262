"""Locks of folders: one process writes into a folder at a time, and a second one learns which."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from keras_smes.files import named_errors

LOCK, HOLDER = ".lock", ".holder"


class LockedError(OSError):
    """Another process writes into a folder."""


@contextlib.contextmanager
def locked(folder: str | Path, name: str = "", wait: bool = False) -> Iterator[None]:
    """Holds a folder, or a named part of it, against other processes that write there.

    The lock is the operating system's, on the file `.lock` in the folder: it ends with the process that holds
    it, however that ends. `.lock.holder` names the process and its host meanwhile. Both are gone afterwards.

    Args:
        folder: The folder; made if there is none.
        name: Name of the part. Defaults to `""`, the folder itself.
        wait: Whether to wait for the other process. Defaults to `False`.

    Raises:
        LockedError: Another process holds it, which is named, and `wait` is `False`.

    Example:

    >>> with locked(folder):
    ...     (folder / "config.json").write_text("{}")
    2
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (f"{LOCK}-{name}" if name else LOCK)
    holder = path.with_name(path.name + HOLDER)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise LockedError(
            f"{folder} must have one writer at a time: wait for the other or take another folder. "
            f"Received: {_describe(holder, name)}"
        ) from None
    try:
        with named_errors(holder):
            holder.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
        yield
    finally:
        for own in (holder, path):  # filelock tries again where it got a lock on a deleted file
            own.unlink(missing_ok=True)
        lock.release()


def _describe(holder: Path, name: str) -> str:
    what = f"its {name} held" if name else "held"
    try:
        values = json.loads(holder.read_text(encoding="utf-8"))
        return f"{what} by process {values['process']} on {values['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # between taking the lock and writing the name
        return f"{what} by another process"
