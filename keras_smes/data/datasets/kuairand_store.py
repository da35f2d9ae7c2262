"""KuaiRand of any size: from the official files to Parquet files in order of time, in bounded memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_smes.data.datasets.kuairand import STEPS, open_release
from keras_smes.data.log.store import stored
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.data.store.part import PART_ROWS
from keras_smes.tasks import Task


def store_kuairand(
    variant: str,
    folder: str | Path,
    cache: str | Path | None = None,
    *,
    tasks: Sequence[str | Task | Mapping[str, Any]] = ("click", "long_view", "like"),
    history: int = 0,
    extra_features: Sequence[str] = (),
    allow_leaks: bool = False,
    part_rows: int = PART_ROWS,
    verbose: int = 1,
    left_out: Sequence[str] = (),
) -> StoredInteractions:
    """Reads KuaiRand as `load_kuairand` does, into files instead of memory.

    The files are made on the first call and used again as long as the release's files have the same
    sizes and times of change, and the options that decide on the files are the same (not `tasks`,
    `history` and `left_out`: those are chosen when rows are read).

    Args:
        variant: `"pure"`, `"1k"` or `"27k"`.
        folder: The release's folder, or the `data` folder in it.
        cache: Folder to keep the files in. `None`, the default, is `$KERAS_SMES_CACHE` or
            `~/.cache/keras_smes`.
        tasks: As for `load_kuairand`.
        history: As for `load_kuairand`.
        extra_features: As for `load_kuairand`.
        allow_leaks: As for `load_kuairand`.
        part_rows: Rows of a part. More take more memory, fewer make more files. Defaults to
            `200_000`.
        verbose: `0` shows no progress, `1` a bar for each step. Defaults to `1`.
        left_out: As for `load_kuairand`.

    Returns:
        The rows, without statistics and histories: see `store_past`.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: As for `load_kuairand`, or if files in the cache are damaged.

    Example:

    >>> parts = split_with_past(store_kuairand("27k", "KuaiRand-27K"))
    """
    release = open_release(variant, folder, tasks, history, extra_features, allow_leaks, left_out)
    steps = STEPS._replace(name=release.log.name)
    return release.select(stored(release.log, steps, cache, part_rows, verbose))
