"""Converts data frames of polars and pandas to arrays and lists."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_smes.features.feature import Columns


def as_columns(columns: Any) -> Columns:
    """Returns the columns of a frame, or of a dict, by name; series become arrays, or lists with `None`.

    Raises:
        ValueError: `columns` is of another type.
    """
    if not isinstance(columns, Mapping):
        if not hasattr(columns, "to_dict"):
            raise ValueError(
                "`columns` must be a dict of columns, or a data frame of polars or pandas in memory. "
                f"Received: {type(columns).__name__}"
            )
        columns = {name: columns[name] for name in columns.columns}
    return {name: _plain(values) for name, values in columns.items()}


def _plain(values: Any) -> Any:
    if hasattr(values, "null_count"):  # a series of polars
        exact = values.dtype.is_numeric() and values.null_count() == 0
        return values.to_numpy() if exact else values.to_list()
    if hasattr(values, "notna"):  # of pandas, which has several empty values
        exact = isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf"
        return values.to_numpy() if exact else values.astype(object).where(values.notna(), None).tolist()
    return values
