"""Files written whole or not at all, and errors of reading and writing that name the file."""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

_PARTIAL = ".partial-"


def write_whole(path: Path, write: Any) -> None:
    """Writes a file so that it is there whole or not at all, also after a crash of the machine.

    Args:
        path: The file; one that is there is replaced.
        write: Called with the open binary file.
    """
    with whole(path) as partial, partial.open("wb") as file:
        write(file)


def write_text(path: Path, text: str) -> None:
    """Writes a text file as `write_whole` does."""
    write_whole(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> Any:
    """Reads a JSON file; errors name it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a JSON file. Received: {error}") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """Reads a JSON file that holds an object."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object. Received: a {type(values).__name__}")
    return values


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a path to write a file under, which then takes its place: whole, or not at all.

    The path is this writer's own and keeps the ending of the name. What is no regular file, such as a pipe,
    is written to as it is. An `OSError` within, such as that of a full disk, names `path`.
    """
    if path.exists() and not path.is_file():
        with named_errors(path):
            yield path
        return
    partial = path.with_name(f"{_PARTIAL}{uuid.uuid4().hex}-{path.name}")
    try:
        with named_errors(path):
            yield partial
            sync(partial)
            os.replace(partial, path)
            sync(path.parent)
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
        with named_errors(folder / name):
            how(staging / name)
            sync(staging / name)

    try:
        yield write
        _replace_set(staging, folder, names)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _replace_set(staging: Path, folder: Path, names: Sequence[str]) -> None:
    (folder / names[-1]).unlink(missing_ok=True)
    sync(folder)
    for name in names[:-1]:
        if (staging / name).exists():
            os.replace(staging / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    sync(folder)
    os.replace(staging / names[-1], folder / names[-1])
    sync(folder)


def clear_partial(folder: Path) -> None:
    """Deletes what killed writers left in a folder: call it where there is no other writer."""
    for path in folder.glob(f"{_PARTIAL}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Lets an `OSError` of writing, such as that of a full disk, name the file, as Python's may not."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise OSError(f"{path} can't be written: {error}") from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def sync(path: Path) -> None:
    """Waits until a file, or a folder's names, are on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
