"""Data sets as `Interactions`: real logs, and a simulator whose truth is known.

`load` reads by name; `split` cuts by time; `with_statistics` and `with_histories` add what was known before
each row's day; `check_causal` verifies that features know no more; `tables_as_of` gives the same for serving.
What is larger than memory is `StoredInteractions`, by `store_log` or `store_kuairand`, with
`split_with_past`; training takes both alike, as `rows.Rows`. This package needs the extra `data`
(`pip install "keras_smes[data]"`) and knows nothing of models.

Example:

>>> data = load("kuairand-pure", folder="KuaiRand-Pure")
>>> parts = split_with_statistics(data)
>>> schema = parts.train.schema.fit(parts.train.columns())

And of any size:

>>> parts = split_with_past(store_kuairand("27k", "KuaiRand-27K"))
>>> schema = fit_schema(parts.train)
"""

try:
    import duckdb as _duckdb  # noqa: F401
    import ibis as _ibis  # noqa: F401
    import polars as _polars  # noqa: F401
except ImportError as error:
    raise ImportError(
        'keras_smes.data needs polars, DuckDB and Ibis: pip install "keras_smes[data]"'
    ) from error

from keras_smes.data.datasets.fake_kuairand import write_made_up_kuairand
from keras_smes.data.datasets.kuairand import load_kuairand
from keras_smes.data.datasets.kuairand_store import store_kuairand
from keras_smes.data.datasets.movielens import load_movielens_100k
from keras_smes.data.datasets.simulated import oracle, simulate
from keras_smes.data.files.describe import Description, describe
from keras_smes.data.files.draft import draft
from keras_smes.data.interactions import Interactions
from keras_smes.data.loading import DATASETS, check_data_options, load, load_rows
from keras_smes.data.log import (
    Column,
    Label,
    Log,
    Table,
    TimeColumn,
    load_log,
    store_log,
)
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
    "Column",
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
