"""Names that layers of a ranker have, and that inputs beside them can't have."""

import re
from collections.abc import Iterable

from keras_smes.features.feature import Feature
from keras_smes.features.tables import tables

BESIDE_RAW = re.compile(r"preprocessor|core|scores|standardize")
BESIDE_ROWS = re.compile(r"features|crosses|encoder_\d+")  # in the core, whose inputs are rows of tables


def check_layer_names(features: Iterable[Feature]) -> None:
    """Rejects a feature that is named as a layer of the ranker: Keras names each once in a model.

    Raises:
        ValueError: Names such features.
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
