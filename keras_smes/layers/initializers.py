"""Initial values of stacked weights: each expert is drawn independently."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.types import Tensor


def stacked(initializer: Any) -> Callable[..., Tensor]:
    """Returns an initializer of a stack `[N, ...]` from an initializer of its members `[...]`.

    Variance scaling (Glorot, He, LeCun) would take the leading axis of `[N, in, out]` for a convolution's
    window and divide the variance by N, so the scale is multiplied by N. One draw never repeats a member,
    unlike N draws from one seed. Initializers whose values depend on each other, such as orthogonal matrices,
    draw each member with its own seed.

    Returns:
        A function of `(shape, dtype)`.
    """
    initializer = keras.initializers.get(initializer)

    def draw(shape: Sequence[int], dtype: Any = None) -> Tensor:
        if isinstance(initializer, keras.initializers.VarianceScaling) and len(shape) == 3:
            return _scaled(initializer, shape[0])(shape, dtype=dtype)
        if isinstance(initializer, _OF_WHOLE_MEMBERS):
            return ops.stack([reseeded(initializer, i)(shape[1:], dtype=dtype) for i in range(shape[0])])
        return initializer(shape, dtype=dtype)

    return draw


_OF_WHOLE_MEMBERS = (
    keras.initializers.VarianceScaling,
    keras.initializers.Orthogonal,
    keras.initializers.Identity,
)


def _scaled(initializer: Any, factor: int) -> Any:
    return keras.initializers.VarianceScaling(
        scale=initializer.scale * factor,
        mode=initializer.mode,
        distribution=initializer.distribution,
        seed=initializer.seed,
    )


def reseeded(initializer: Any, index: int) -> Any:
    """Returns a copy whose integer seed, if it has one, is `index` higher."""
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] += index
    return type(initializer).from_config(config)


def clone(initializer: Any) -> Any:
    """Returns a copy, so that layers that share an initializer object draw different values."""
    initializer = keras.initializers.get(initializer)
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer
