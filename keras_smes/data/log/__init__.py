"""A declared log: files, roles of their columns, tasks, features and the split, as one YAML file.

`Log.read` reads the declaration, `load_log` the rows that it declares, as `Interactions`. In order:
`declaration` says what there is, `located` reads YAML and knows the line of each key, `files` reads Parquet
and CSV, `text` types text, `labels` makes label columns, `auto` chooses features, `load` is the whole way in
memory and `store` on disk. For files without a declaration, `describe` looks at them and `draft` writes a
first declaration.
"""

from keras_smes.data.log.declaration import Label, Log, Table, TimeColumn
from keras_smes.data.log.describe import Description, describe
from keras_smes.data.log.draft import draft
from keras_smes.data.log.load import load_log, load_to_score
from keras_smes.data.log.store import store_log

__all__ = [
    "Description",
    "Label",
    "Log",
    "Table",
    "TimeColumn",
    "describe",
    "draft",
    "load_log",
    "load_to_score",
    "store_log",
]
