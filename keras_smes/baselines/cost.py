"""Cost of a layer of experts: executed multiplications, parameters, and layers of equal size.

Multiplications are those of matrix products: routers, gates, experts and mixtures. Element-wise operations,
such as biases, activations, softmax and normalisation, are not counted.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras

from keras_smes.baselines.home import HoME
from keras_smes.baselines.mmoe import MMoE
from keras_smes.baselines.ple import PLE
from keras_smes.baselines.shared_bottom import SharedBottom
from keras_smes.layers.smes import SMES
from keras_smes.routing import union_bound

MOST = 2**20  # upper limit of the search for a size


def executed_multiplications(layer: keras.layers.Layer, union_mean: float | None = None) -> float:
    """Counts the multiplications that a layer of experts executes for one instance.

    ```
    SMES and kin:  D T E + T E         routers, joint score; with a rank r, D r + r T E + T E
                   + |U| * sum of in * out of an expert's layers
                   + T |U| out         mixtures
                   + N (an expert + out)   those that are always on
    others:        every kernel once, and the mixtures
    ```

    Args:
        layer: A built layer of `keras_smes.baselines`, or an `SMES`.
        union_mean: Number, the mean number of executed experts `|U|`, for layers that choose;
            `evaluate` reports it. Defaults to `None`, its bound. Layers that execute all experts reject it.

    Returns:
        Multiplications per instance, an integer if `union_mean` is one.

    Raises:
        ValueError: The layer is not built, or `union_mean` is out of range.
        TypeError: The layer is of another type.

    Example:

    >>> layer = MMoE(num_tasks=2, num_experts=3, expert_units=(5, 4))
    >>> layer.build((None, 7))
    >>> executed_multiplications(layer)  # 2*7*3 gates, 3*(7*5 + 5*4) experts, 2*3*4 mixtures
    231
    """
    if not layer.built:
        raise ValueError(f"`layer` must be built. Received: layer={layer.name}")
    if isinstance(layer, SMES):
        return _sparse(layer, union_mean)
    if union_mean is not None:
        raise ValueError(f"`union_mean` is for layers that choose. Received: union_mean={union_mean}")
    return sum(math.prod(w.shape) for w in layer.trainable_weights if "kernel" in w.name) + _mixtures(layer)


def parameters(layer: keras.layers.Layer) -> int:
    """Counts the trainable parameters of a built layer; moving averages are not included."""
    return sum(math.prod(w.shape) for w in layer.trainable_weights)


def match_parameters(build: Callable[[int], keras.layers.Layer], target: float, input_width: int) -> int:
    """Finds the size at which a layer's parameters are nearest to `target`.

    Args:
        build: A function from a size of 1 or more, such as the width or the number of experts, to a
            layer that is not built, whose parameters grow with the size.
        target: Number of parameters, such as `parameters(reference)`.
        input_width: Integer, width D of h.

    Returns:
        The size, an integer of at least 1.

    Raises:
        ValueError: Size 1 exceeds `target`, or no size reaches it.

    Example:

    >>> match_parameters(lambda width: SharedBottom(2, (width, 8)), target=10_000, input_width=20)
    345
    """
    return _match(build, parameters, target, input_width)


def match_multiplications(
    build: Callable[[int], keras.layers.Layer],
    target: float,
    input_width: int,
    union_mean: float | None = None,
) -> int:
    """Finds the size at which a layer's multiplications per instance are nearest to `target`.

    Args:
        build: As for `match_parameters`.
        target: Number of multiplications, such as `executed_multiplications(reference, 7.9)`.
        input_width: Integer, width D of h.
        union_mean: Number, of the layers that `build` builds; see `executed_multiplications`. Defaults
            to `None`.

    Returns:
        The size, an integer of at least 1.

    Raises:
        ValueError: Size 1 exceeds `target`, or no size reaches it.

    Example:

    >>> match_multiplications(lambda width: SharedBottom(2, (width, 8)), target=28_008, input_width=20)
    1000
    """
    return _match(build, lambda layer: executed_multiplications(layer, union_mean), target, input_width)


def _sparse(smes: SMES, union_mean: float | None) -> float:
    _, num_tasks, num_experts = smes.router.kernel.shape
    privates = smes.gate.private_of_tasks({"logits": (None, num_tasks, num_experts)})
    least = smes.router.num_shared + max(privates)
    most = union_bound(num_experts, smes.router.num_shared, privates)
    union_mean = most if union_mean is None else union_mean
    if not least <= union_mean <= most:
        raise ValueError(
            f"`union_mean` must be in [{least}, {most}], the number of experts an instance can execute. "
            f"Received: union_mean={union_mean}"
        )
    kernels = [kernel for kernel in (smes.router.projection, smes.router.kernel) if kernel is not None]
    routers = sum(math.prod(kernel.shape) for kernel in kernels) + num_tasks * num_experts
    expert = sum(kernel.shape[1] * kernel.shape[2] for kernel in smes.experts.kernels)
    always = 0 if smes.always is None else smes.always.num_experts
    out = smes.experts.units[-1]
    return routers + union_mean * (expert + num_tasks * out) + always * (expert + out)


@functools.singledispatch
def _mixtures(layer: Any) -> int:
    """Multiplications of the mixtures, where all experts run."""
    raise TypeError(f"`layer` must be a layer of experts. Received: {type(layer).__name__}")


@_mixtures.register
def _(layer: SharedBottom) -> int:
    return int(layer.expert_units[-1])  # a pool of one expert, weighed by one


@_mixtures.register
def _(layer: MMoE) -> int:
    return int(layer.num_tasks * layer.experts.num_experts * layer.expert_units[-1])


@_mixtures.register
def _(layer: PLE) -> int:
    # An expert is weighted once per mixture that reads it: its task's and, except in the last level, the
    # shared one; a shared expert by all tasks.
    own, common = layer.num_tasks * layer.num_task_experts, layer.num_shared_experts
    last = own + layer.num_tasks * common
    before = 2 * own + (layer.num_tasks + 1) * common
    return int((last + (layer.num_levels - 1) * before) * layer.expert_units[-1])


@_mixtures.register
def _(layer: HoME) -> int:
    first = [layer.meta_shared, *layer.meta_groups]
    second = [layer.shared, *layer.groups, *layer.tasks]
    mixtures = sum(gate.units for experts in first + second for gate in experts.gates)
    features = [experts.feature_gate for experts in first + second]
    return int(
        mixtures * layer.expert_units[-1] + sum(gate.num_gates * gate.down.shape[1] for gate in features)
    )


def _match(
    build: Callable[[int], keras.layers.Layer],
    measure: Callable[[keras.layers.Layer], float],
    target: float,
    input_width: int,
) -> int:
    def cost(size: int) -> float:
        layer = build(size)
        layer.build((None, input_width))
        return measure(layer)

    high = 1
    while cost(high) < target:
        high *= 2
        if high > MOST:
            raise ValueError(f"`build` must grow with its size. Received: under target={target} at {MOST}")
    if high == 1 and cost(1) > target:
        raise ValueError(f"`target` must be reached at size 1 or later. Received: target={target}")
    low = max(high // 2, 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) < target else (low, middle)
    return min(low, high, key=lambda size: abs(cost(size) - target))
