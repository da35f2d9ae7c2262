"""The model registry: layers of experts by name."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from keras_smes.baselines.home import HoME
from keras_smes.baselines.mmoe import MMoE
from keras_smes.baselines.naive_sparse import NaiveSparse
from keras_smes.baselines.ple import PLE
from keras_smes.baselines.shared_bottom import SharedBottom
from keras_smes.baselines.task_balance import TaskBalancedSMES
from keras_smes.layers.smes import SMES
from keras_smes.validation import check_one_of

_LAYERS: dict[str, type[keras.layers.Layer]] = {
    "smes": SMES,
    "smes_task_balance": TaskBalancedSMES,
    "naive_sparse": NaiveSparse,
    "shared_bottom": SharedBottom,
    "mmoe": MMoE,
    "ple": PLE,
    "home": HoME,
}
MODELS = tuple(_LAYERS)


def model_layer(model: str) -> type[keras.layers.Layer]:
    """Returns the class of a model's layer of experts.

    Raises:
        ValueError: `model` is not the name of a model.
    """
    check_one_of("model", model, MODELS)
    return _LAYERS[model]


def model_options(model: str) -> dict[str, bool]:
    """Returns the names of a model's options, each with whether it is required.

    Args:
        model: One of `MODELS`.

    Returns:
        A dict, in the order of the layer's arguments. The number of tasks is not an option.

    Raises:
        ValueError: `model` is not the name of a model.

    Example:

    >>> [name for name, needed in model_options("mmoe").items() if needed]
    ['num_experts', 'expert_units']
    """
    parameters = inspect.signature(model_layer(model)).parameters
    return {
        name: parameter.default is parameter.empty
        for name, parameter in parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name != "num_tasks"
    }


def build_experts(model: str, num_tasks: int, options: Mapping[str, Any]) -> keras.layers.Layer:
    """Builds the layer of experts `[B, D] -> [B, T, out]` that `model` names.

    Args:
        model: One of `MODELS`.
        num_tasks: Integer, tasks T.
        options: The other arguments of the model's layer, by name, as JSON values.

    Returns:
        The layer, named `"experts"`.

    Raises:
        ValueError: `model` is not the name of a model, an option is unknown or missing, or the layer
            rejects a value.

    Example:

    >>> layer = build_experts("mmoe", num_tasks=2, options={"num_experts": 4, "expert_units": [32, 8]})
    >>> layer(keras.random.normal((4, 20))).shape
    (4, 2, 8)
    """
    known = model_options(model)
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"`options` of {model!r} must be among {list(known)}. Received: unknown={unknown}")
    needed = [name for name, must in known.items() if must]
    if missing := [name for name in needed if name not in options]:
        raise ValueError(f"`options` of {model!r} must hold {needed}. Received: missing={missing}")
    return model_layer(model)(num_tasks=num_tasks, **options, name="experts")
