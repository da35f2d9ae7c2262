"""A declared log: files, roles of their columns, tasks, features and the split, as one YAML file.

`Log.read` reads the declaration, `load_log` the rows that it declares, as `Interactions`. `declaration` says
what there is, `load` and `store` join its rows in memory and on disk, `steps` makes interactions of either,
with `labels` and the features that `auto` chooses; `to_score` is for rows whose labels may be missing. Files
are read by `data.files`.
"""

from keras_smes.data.files.csv_reader import Column
from keras_smes.data.log.declaration import Label, Log, Table, TimeColumn
from keras_smes.data.log.load import load_log
from keras_smes.data.log.store import store_log
from keras_smes.data.log.to_score import load_to_score, store_to_score

__all__ = [
    "Column",
    "Label",
    "Log",
    "Table",
    "TimeColumn",
    "load_log",
    "load_to_score",
    "store_log",
    "store_to_score",
]
