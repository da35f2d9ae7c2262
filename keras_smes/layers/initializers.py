"""Initial values of stacked weights: each member drawn as if it were alone, no two alike."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

Tensor = Any


def stacked(initializer: Any) -> Callable[..., Tensor]:
    """Makes an initializer of `[N, in, out]` out of one of `[in, out]`.

    A variance-scaling initializer (Glorot, He, LeCun) takes all leading axes for a convolution's
    window and would divide the variance by N. One draw with its scale times N is right for each
    member, keeps a user's seed, and never repeats a member as N draws from one seed would.

    Args:
        initializer: A Keras initializer, or what `keras.initializers.get` takes.

    Returns:
        A function of `(shape, dtype)`.
    """
    initializer = keras.initializers.get(initializer)

    def draw(shape: Sequence[int], dtype: Any = None) -> Tensor:
        if not isinstance(initializer, keras.initializers.VarianceScaling):
            return initializer(shape, dtype=dtype)
        scaled = keras.initializers.VarianceScaling(
            scale=initializer.scale * shape[0],
            mode=initializer.mode,
            distribution=initializer.distribution,
            seed=initializer.seed,
        )
        return scaled(shape, dtype=dtype)

    return draw


def clone(initializer: Any) -> Any:
    """Returns a fresh copy, so that two layers given one initializer object don't draw the same values."""
    initializer = keras.initializers.get(initializer)
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer
