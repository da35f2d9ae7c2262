"""Default configurations of `keras-smes train` for the data sets of this package."""

from collections.abc import Mapping
from typing import Any

from keras_smes.training.config import merged

# Chosen on the last two training days, see experiments/README.md.
_KUAIRAND_PURE: Mapping[str, Any] = {
    # Too few rows for embeddings of these ids; their statistics stay.
    "data_options": {"left_out": ["video_id", "author_id"]},
    "optimizer": {"learning_rate": 0.003},
    "training": {"batch_size": 256},
}
_COMMON: Mapping[str, Mapping[str, Any]] = {"kuairand-pure": _KUAIRAND_PURE}
_EXPERTS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("kuairand-pure", "smes"): {"num_experts": 8, "num_shared": 1, "num_private": 1, "num_always": 3},
    ("kuairand-pure", "mmoe"): {"num_experts": 11},  # as many parameters as SMES
    ("kuairand-pure", "naive_sparse"): {"num_experts": 11},
}


def with_usual(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values of a `RunConfig` over the defaults of their data set and model.

    Example:

    >>> with_usual({"data": "kuairand-pure", "optimizer": {"name": "sgd"}})["optimizer"]
    {'learning_rate': 0.003, 'name': 'sgd'}
    """
    data, model = str(values.get("data")), str(values.get("model", "smes"))
    experts = _EXPERTS.get((data, model), {})
    usual = {**_COMMON.get(data, {}), **({"experts": experts} if experts else {})}
    return merged(usual, values)
