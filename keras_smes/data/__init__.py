"""Data sets as `Interactions`: real logs, and a simulator whose truth is known.

`load` reads by name; `split` cuts by time; `with_statistics` adds what was known before each row's day.
This package needs polars (`pip install "keras_smes[data]"`) and knows nothing of models.

Example:

>>> data = load("kuairand-pure", folder="KuaiRand-Pure")
>>> parts = split_with_statistics(data)
>>> schema = parts.train.schema.fit(parts.train.columns())
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

try:
    import polars as _polars  # noqa: F401
except ImportError as error:
    raise ImportError('keras_smes.data needs polars: pip install "keras_smes[data]"') from error

from keras_smes.data.interactions import Interactions, KeyGroup, Split, SplitDates, date_range, split
from keras_smes.data.kuairand import load_kuairand
from keras_smes.data.movielens import load_movielens_100k
from keras_smes.data.simulated import simulate
from keras_smes.data.statistics import split_with_statistics, statistic_names, with_statistics

__all__ = [
    "DATASETS",
    "Interactions",
    "KeyGroup",
    "Split",
    "SplitDates",
    "date_range",
    "load",
    "load_kuairand",
    "load_movielens_100k",
    "simulate",
    "split",
    "split_with_statistics",
    "statistic_names",
    "with_statistics",
]


def _load_kuairand(variant: str, folder: str | Path | None, **options: Any) -> Interactions:
    if folder is None:
        raise ValueError(
            f"kuairand-{variant} needs `folder`, where the release of kuairand.com lies. "
            "Received: folder=None"
        )
    return load_kuairand(variant, folder, **options)


def _load_simulated(folder: str | Path | None, **options: Any) -> Interactions:
    if folder is not None:
        raise ValueError(f"simulated reads no files. Received: folder={str(folder)!r}")
    return simulate(**options)


_LOADERS: Mapping[str, Callable[..., Interactions]] = {
    "kuairand-pure": partial(_load_kuairand, "pure"),
    "kuairand-1k": partial(_load_kuairand, "1k"),
    "kuairand-27k": partial(_load_kuairand, "27k"),
    "movielens-100k": load_movielens_100k,
    "simulated": _load_simulated,
}
DATASETS = tuple(_LOADERS)


def load(name: str, folder: str | Path | None = None, **options: Any) -> Interactions:
    """Reads a data set by name.

    Args:
        name: One of `DATASETS`.
        folder: Where its files lie. KuaiRand needs it; MovieLens-100K is fetched without; the simulator
            reads no files. Defaults to `None`.
        **options: Handed to `load_kuairand`, `load_movielens_100k` or `simulate`.

    Returns:
        The interactions in order of time, without statistics.

    Raises:
        ValueError: If there is no such data set, or its files are not what they should be.
        FileNotFoundError: If a file is missing.

    Example:

    >>> data = load("simulated", rows=10_000, seed=1)
    """
    if name not in _LOADERS:
        raise ValueError(f"`name` must be one of {list(DATASETS)}. Received: name={name!r}")
    return _LOADERS[name](folder, **options)
