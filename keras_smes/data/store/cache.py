"""A cache of folders, written atomically and keyed by their recipe."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_smes.locks import locked

MANIFEST = "manifest.json"
_END = 64 * 1024


def cache_folder(folder: str | Path | None = None) -> Path:
    """Returns `folder`, or else `$KERAS_SMES_CACHE`, or else `~/.cache/keras_smes`."""
    return Path(folder or os.environ.get("KERAS_SMES_CACHE") or Path.home() / ".cache" / "keras_smes")


def fingerprints(paths: Iterable[Path]) -> list[tuple[str, int, int, str]]:
    """Returns of each file by what it is known again: name, size, time of change, and a hash of its end.

    The end of a Parquet file is its footer, with the size and the statistics of each of its columns; of other
    files it is the last 64 KiB.
    """
    found = []
    for path in paths:
        status = path.stat()
        end = hashlib.sha256(_end(path, status.st_size)).hexdigest()[:16]
        found.append((path.name, status.st_size, status.st_mtime_ns, end))
    return found


def _end(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(size - 8, 0))
        last = file.read()
        footer = int.from_bytes(last[:4], "little") + 8 if last[4:] == b"PAR1" else _END
        file.seek(max(size - footer, 0))
        return file.read()


def cached(
    parent: Path, name: str, recipe: Mapping[str, Any], build: Callable[[Path], Mapping[str, Any]]
) -> tuple[Path, dict[str, Any]]:
    """Returns a folder made by `build`, now or by an earlier call of the same recipe.

    A folder is built beside its place and renamed into it, so that it is there whole or not at all. One
    process builds it; another that needs it meanwhile waits and takes what was built. Folders of other
    recipes stay, until they are deleted by the time of their last use: that of the manifest.

    Args:
        parent: Where the folder lies.
        name: What its name begins with; a hash of the recipe follows.
        recipe: JSON values that decide what is built: sources, options, the version of the format.
        build: Writes files into the folder given, and returns JSON values to keep with them.

    Returns:
        The folder, and what `build` returned.

    Raises:
        ValueError: A folder is there that lacks files or has them cut short.
    """
    # Through JSON and back, so that tuples are lists here as in the file.
    recipe = json.loads(json.dumps(recipe))
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    folder = parent / f"{name}-{digest[:16]}"
    if not folder.exists():
        with locked(parent, folder.name, wait=True):
            if not folder.exists():  # no other process built it while this one waited
                _build(folder, recipe, build)
    values = _read(folder, recipe)
    with contextlib.suppress(OSError):  # others may own the cache
        os.utime(folder / MANIFEST)
    return folder, values


def _build(folder: Path, recipe: Any, build: Callable[[Path], Mapping[str, Any]]) -> None:
    incoming = folder.parent / f".{folder.name}"
    shutil.rmtree(incoming, ignore_errors=True)  # what a killed process left
    incoming.mkdir()
    try:
        values = json.loads(json.dumps(build(incoming)))
        manifest = {"recipe": recipe, "files": _sizes(incoming), "values": values}
        (incoming / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        os.rename(incoming, folder)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _sizes(folder: Path) -> dict[str, int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _read(folder: Path, recipe: Any) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found = {name: (folder / name).stat().st_size for name in manifest["files"]}
        whole = manifest["recipe"] == recipe and found == manifest["files"]
        values: dict[str, Any] = manifest["values"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, str(error)) from error
    if not whole:
        damaged = sorted(name for name, size in manifest["files"].items() if found[name] != size)
        raise _damaged(folder, f"changed={damaged}")
    return values


def _damaged(folder: Path, received: str) -> ValueError:
    return ValueError(f"{folder} is damaged: delete it, and it is made again. Received: {received}")
