"""Reads a data set by name, or a declared log: in memory, or on disk where it is larger."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from keras_smes.configuration.document import YAML
from keras_smes.configuration.structure import check_options
from keras_smes.data.datasets.kuairand import load_kuairand
from keras_smes.data.datasets.movielens import load_movielens_100k
from keras_smes.data.datasets.simulated import simulate
from keras_smes.data.interactions import Interactions
from keras_smes.data.log import Log, load_log, load_to_score, store_log, store_to_score
from keras_smes.data.log.declaration import bytes_of_memory
from keras_smes.data.log.size import fits_in_memory
from keras_smes.data.split_config import SplitConfig
from keras_smes.data.store.interactions import StoredInteractions
from keras_smes.features.schema import FeatureSchema


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


# The function of each data set, and what of it is no option.
_FUNCTIONS: Mapping[str, Callable[..., Interactions]] = {
    **dict.fromkeys(("kuairand-pure", "kuairand-1k", "kuairand-27k"), load_kuairand),
    "movielens-100k": load_movielens_100k,
    "simulated": simulate,
}
_NO_OPTIONS = ("name", "variant", "folder", "split")
_LOADERS: Mapping[str, Callable[..., Interactions]] = {
    "kuairand-pure": partial(_load_kuairand, "pure"),
    "kuairand-1k": partial(_load_kuairand, "1k"),
    "kuairand-27k": partial(_load_kuairand, "27k"),
    "movielens-100k": load_movielens_100k,
    "simulated": _load_simulated,
}
DATASETS = tuple(_LOADERS)


def check_data_options(name: str, options: Mapping[str, Any]) -> None:
    """Rejects what `load` doesn't take of a data set, before anything is read.

    Args:
        name: One of `DATASETS`, or the path of a log's YAML.
        options: The options by name.

    Raises:
        ValueError: There is no such data set, or an option is unknown or of another type.
    """
    if not is_log(name) and name not in DATASETS:
        raise ValueError(
            f"`name` must be one of {list(DATASETS)}, or the YAML file of a log. Received: name={name!r}"
        )
    own = [] if is_log(name) else [_FUNCTIONS[name]]
    check_options("data_options", options, [load, *own], _NO_OPTIONS)


def is_log(name: str) -> bool:
    """Returns whether a data set's name is the path of a declared log's YAML."""
    return str(name).endswith(YAML)


def load(
    name: str,
    folder: str | Path | None = None,
    half_life: float | None = None,
    rates: Sequence[str] | None = None,
    split: SplitConfig | None = None,
    **options: Any,
) -> Interactions:
    """Reads a data set by name, or a declared log.

    Args:
        name: One of `DATASETS`, or the path of a log's YAML, see `Log`.
        folder: Where its files lie; of a log, what relative paths in its YAML start from. KuaiRand needs it;
            MovieLens-100K is fetched without; the simulator reads no files. Defaults to `None`, for a log the
            folder of its YAML.
        half_life: Days after which a row counts half in statistics. Defaults to `None`, it always counts
            whole.
        rates: Label columns whose rates are taken in statistics. Defaults to `None`, those of binary tasks.
        split: The `SplitConfig` in force, which a log takes as its own: by its training rows `features: auto`
            chooses. Other data sets are cut by `cut`. Defaults to `None`, the log's own.
        **options: Handed to `load_kuairand`, `load_movielens_100k` or `simulate`.

    Returns:
        The interactions in order of time, without statistics.

    Raises:
        ValueError: If there is no such data set, an option is unknown or of another type, or its files are
            not what they should be.
        FileNotFoundError: If a file is missing.

    Example:

    >>> data = load("simulated", rows=10_000, seed=1)
    """
    check_data_options(name, {"half_life": half_life, "rates": rates, **options})
    taken = None if rates is None else tuple(rates)
    if not is_log(name):
        return dataclasses.replace(_LOADERS[name](folder, **options), half_life=half_life, rates=taken)
    return load_log(_declared(name, folder, half_life, taken, split))


def load_rows(
    name: str,
    folder: str | Path | None = None,
    half_life: float | None = None,
    rates: Sequence[str] | None = None,
    split: SplitConfig | None = None,
    memory: int | str | None = None,
    **options: Any,
) -> Interactions | StoredInteractions:
    """Reads as `load` does, a declared log whose rows take more than its `memory` into files by `store_log`.

    Args:
        name: As for `load`.
        folder: As for `load`.
        half_life: As for `load`.
        rates: As for `load`.
        split: As for `load`.
        memory: Bytes that the rows of a log may take in memory, such as `"4GB"`, in place of its own. Other
            data sets are always in memory. Defaults to `None`, the log's own.
        **options: As for `load`.

    Returns:
        The interactions in order of time, without statistics: in memory, or on disk where an estimate by the
        first rows and the sizes of the files says that they take more than `memory`, by default a quarter of
        the machine's.

    Example:

    >>> type(load_rows("simulated", rows=1_000)).__name__
    'Interactions'
    """
    if not is_log(name):
        return load(name, folder, half_life, rates, split, **options)
    check_data_options(name, {"half_life": half_life, "rates": rates, **options})
    log = _within(memory, _declared(name, folder, half_life, None if rates is None else tuple(rates), split))
    return load_log(dataclasses.replace(log, memory=None)) if fits_in_memory(log) else store_log(log)


def load_rows_to_score(
    path: str,
    schema: FeatureSchema,
    half_life: float | None = None,
    rates: Sequence[str] | None = None,
    memory: int | str | None = None,
) -> Interactions | StoredInteractions:
    """Reads a declared log as `load_rows` does for a model of that schema: labels may be missing."""
    log = _within(memory, _declared(path, None, half_life, None if rates is None else tuple(rates), None))
    if fits_in_memory(log):
        return load_to_score(dataclasses.replace(log, memory=None), schema)
    return store_to_score(log, schema)


def _within(memory: int | str | None, log: Log) -> Log:
    return log if memory is None else dataclasses.replace(log, memory=bytes_of_memory(memory))


def _declared(
    name: str,
    folder: str | Path | None,
    half_life: float | None,
    rates: tuple[str, ...] | None,
    split: SplitConfig | None,
) -> Log:
    """Returns the log of a YAML with what is stated beside it."""
    changed: dict[str, Any] = {"half_life": half_life, "rates": rates}
    changed["folder"] = None if folder is None else Path(folder)
    changed["split"] = split if split is not None and split.given() else None
    declared = {key: value for key, value in changed.items() if value is not None}
    return dataclasses.replace(Log.read(name), **declared)
