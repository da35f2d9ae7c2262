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
from keras_smes.validation import nearest

# The function of each data set, and the arguments that its name says.
_LOADERS: Mapping[str, tuple[Callable[..., Interactions], Mapping[str, str]]] = {
    **{f"kuairand-{variant}": (load_kuairand, {"variant": variant}) for variant in ("pure", "1k", "27k")},
    "movielens-100k": (load_movielens_100k, {}),
    "simulated": (simulate, {}),
}
_NO_OPTIONS = ("name", "variant", "folder", "split")
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
            f"{nearest(name, DATASETS)}"
        )
    own = [] if is_log(name) else [_LOADERS[name][0]]
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
    if is_log(name):
        return load_log(_declared(name, folder=folder, half_life=half_life, rates=rates, split=split))
    taken = None if rates is None else tuple(rates)
    return dataclasses.replace(_loaded(name, folder, options), half_life=half_life, rates=taken)


def _loaded(name: str, folder: str | Path | None, options: Mapping[str, Any]) -> Interactions:
    function, of_name = _LOADERS[name]
    if function is simulate:
        if folder is not None:
            raise ValueError(f"simulated reads no files. Received: folder={str(folder)!r}")
        return simulate(**options)
    if function is load_kuairand and folder is None:
        where = "where the release of kuairand.com lies"
        raise ValueError(f"{name} needs `folder`, {where}. Received: folder=None")
    return function(**of_name, folder=folder, **options)


def load_rows(
    name: str, folder: str | Path | None = None, memory: int | str | None = None, **options: Any
) -> Interactions | StoredInteractions:
    """Reads as `load` does, a declared log whose rows take more than its `memory` into files by `store_log`.

    Args:
        name: As for `load`.
        folder: As for `load`.
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
        return load(name, folder, **options)
    check_data_options(name, {key: own for key, own in options.items() if key != "split"})
    return _read(_declared(name, folder=folder, memory=memory, **options), load_log, store_log)


def load_rows_to_score(path: str, schema: FeatureSchema, **options: Any) -> Interactions | StoredInteractions:
    """Reads a declared log as `load_rows` does for a model of that schema: labels may be missing."""
    return _read(
        _declared(path, **options),
        partial(load_to_score, schema=schema),
        partial(store_to_score, schema=schema),
    )


def _read(
    log: Log, into_memory: Callable[[Log], Interactions], onto_disk: Callable[[Log], StoredInteractions]
) -> Interactions | StoredInteractions:
    """Reads a log into memory where an estimate of its size says that it fits."""
    if not fits_in_memory(log):
        return onto_disk(log)
    return into_memory(dataclasses.replace(log, memory=None)).with_roles(memory=log.memory)


def _declared(name: str, **stated: Any) -> Log:
    """Returns the log of a YAML with what is stated beside it: fields of `Log`, those of `None` aside."""
    made: Mapping[str, Callable[[Any], Any]] = {"rates": tuple, "folder": Path, "memory": bytes_of_memory}
    given = {key: made.get(key, lambda own: own)(own) for key, own in stated.items() if own is not None}
    if "split" in given and not given["split"].given():
        del given["split"]
    return dataclasses.replace(Log.read(name), **given)
