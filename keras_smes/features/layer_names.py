"""Names of a ranker's layers, which features can't have."""

import re
from collections.abc import Iterable

from keras_smes.features.embedding_tables import tables
from keras_smes.features.feature import Feature

# Beside layers also the operations that Keras names by itself, numbered from the second on.
BESIDE_RAW = re.compile(r"preprocessor|core|scores|standardize|(cast|stack)(_\d+)?")
# In the core, whose inputs are rows of tables.
BESIDE_ROWS = re.compile(r"features|crosses|batch_norm|encoder_\d+|unstack(_\d+)?")


def check_layer_names(features: Iterable[Feature]) -> None:
    """Rejects features with the name of a ranker's layer: Keras needs unique names in a model.

    Raises:
        ValueError: There are such features; names them.
    """
    features = list(features)
    names = tables(features)
    lists = [feature.name for feature in features if len(feature.input_specs) > 1]
    raw = {f"{kind}_{name}" for kind in ("lookup", "bucketize") for name in names}
    raw |= {f"fit_{name}" for name in lists}
    rows = {f"embed_{name}" for name in names} | {f"pool_{name}" for name in lists}
    taken = [
        name
        for feature in features
        for name in feature.input_specs
        if name in raw
        or BESIDE_RAW.fullmatch(name)
        or (feature.table_name is not None and (name in rows or BESIDE_ROWS.fullmatch(name)))
    ]
    if taken:
        raise ValueError(
            f"`features` must not be named as layers of a ranker are: rename the column. Received: {taken}"
        )
