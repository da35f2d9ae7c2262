"""Data sets as `Interactions`: real logs, and a simulator whose truth is known.

`load` reads by name; `split` cuts by time; `with_statistics` and `with_histories` add what was known before
each row's day; `check_causal` proves that features know no more; `tables_as_of` gives the same for serving.
What is larger than memory is `StoredInteractions`, by `store_log` or `store_kuairand`, with
`split_with_past`; training takes both alike, by the protocol `rows.Rows`. This package needs the extra `data`
(`pip install "keras_smes[data]"`) and knows nothing of models.

Example:

>>> data = load("kuairand-pure", folder="KuaiRand-Pure")
>>> parts = split_with_statistics(data)
>>> schema = parts.train.schema.fit(parts.train.columns())

And of any size:

>>> parts = split_with_past(store_kuairand("27k", "KuaiRand-27K"))
>>> schema = fit_schema(parts.train)
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

try:
    import duckdb as _duckdb  # noqa: F401
    import ibis as _ibis  # noqa: F401
    import polars as _polars  # noqa: F401
except ImportError as error:
    raise ImportError(
        'keras_smes.data needs polars, DuckDB and Ibis: pip install "keras_smes[data]"'
    ) from error

from keras_smes.configuration.structure import check_options
from keras_smes.data.datasets.fake_kuairand import write_made_up_kuairand
from keras_smes.data.datasets.kuairand import load_kuairand
from keras_smes.data.datasets.kuairand_store import store_kuairand
from keras_smes.data.datasets.movielens import load_movielens_100k
from keras_smes.data.datasets.simulated import oracle, simulate
from keras_smes.data.files.describe import Description, describe
from keras_smes.data.files.draft import draft
from keras_smes.data.interactions import Interactions, date_range
from keras_smes.data.log import (
    Label,
    Log,
    Table,
    TimeColumn,
    load_log,
    store_log,
)
from keras_smes.data.log.declaration import bytes_of_memory
from keras_smes.data.log.size import fits_in_memory
from keras_smes.data.past.causality import check_causal
from keras_smes.data.past.feature_tables import FeatureTable, FeatureTables, tables_as_of
from keras_smes.data.past.histories import with_histories
from keras_smes.data.past.statistics import split_with_statistics, statistic_names, with_statistics
from keras_smes.data.past.stored import split_with_past, store_past
from keras_smes.data.roles import History, KeyGroup, SplitDates
from keras_smes.data.split import Split, split
from keras_smes.data.split_config import SplitConfig
from keras_smes.data.store.interactions import StoredInteractions, StoredSplit
from keras_smes.data.store.schema import fit_schema

__all__ = [
    "DATASETS",
    "Description",
    "FeatureTable",
    "FeatureTables",
    "History",
    "Interactions",
    "KeyGroup",
    "Label",
    "Log",
    "Split",
    "SplitConfig",
    "SplitDates",
    "StoredInteractions",
    "StoredSplit",
    "Table",
    "TimeColumn",
    "check_causal",
    "check_data_options",
    "date_range",
    "describe",
    "draft",
    "fit_schema",
    "load",
    "load_kuairand",
    "load_log",
    "load_movielens_100k",
    "load_rows",
    "oracle",
    "simulate",
    "split",
    "split_with_past",
    "split_with_statistics",
    "statistic_names",
    "store_kuairand",
    "store_log",
    "store_past",
    "tables_as_of",
    "with_histories",
    "with_statistics",
    "write_made_up_kuairand",
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
    if not _is_log(name) and name not in DATASETS:
        raise ValueError(
            f"`name` must be one of {list(DATASETS)}, or the YAML file of a log. Received: name={name!r}"
        )
    own = [] if _is_log(name) else [_FUNCTIONS[name]]
    check_options("data_options", options, [load, *own], _NO_OPTIONS)


def _is_log(name: str) -> bool:
    return str(name).endswith((".yaml", ".yml"))


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
    if not _is_log(name):
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
    if not _is_log(name):
        return load(name, folder, half_life, rates, split, **options)
    check_data_options(name, {"half_life": half_life, "rates": rates, **options})
    log = _declared(name, folder, half_life, None if rates is None else tuple(rates), split)
    if memory is not None:
        log = dataclasses.replace(log, memory=bytes_of_memory(memory))
    return load_log(dataclasses.replace(log, memory=None)) if fits_in_memory(log) else store_log(log)


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
