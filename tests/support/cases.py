"""Drawn sizes, random weights, and layers that carry them."""

import itertools
from typing import NamedTuple

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from keras_smes import SMES
from support import oracle
from support.backends import TENSORFLOW

# A new shape costs JAX a compilation. Derandomized: a run's verdict is a fact about the code.
DRAWN = settings(
    max_examples=25 if TENSORFLOW else 8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


class Sizes(NamedTuple):
    batch: int
    width: int
    num_tasks: int
    num_experts: int
    num_shared: int
    num_private: int | list[int]
    units: tuple[int, ...] = (5, 3)

    @property
    def privates(self):
        return oracle.private_counts(self.num_private, self.num_tasks)

    @property
    def bound(self):
        return min(self.num_experts, self.num_shared + sum(self.privates))


@st.composite
def sizes(draw, max_batch=9):
    """Every way to satisfy `1 <= K_s + K_a[t] <= E`, edges included."""
    num_tasks, num_experts = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    num_shared = draw(st.integers(0, num_experts))
    private = st.integers(0 if num_shared else 1, num_experts - num_shared)
    lists = st.lists(private, min_size=num_tasks, max_size=num_tasks)
    return Sizes(
        draw(st.integers(0, max_batch)),
        draw(st.sampled_from([1, 4, 6])),
        num_tasks,
        num_experts,
        num_shared,
        draw(st.one_of(private, lists)),
        draw(st.sampled_from([(3,), (5, 3), (4, 4, 2)])),
    )


# Many experts for few picks: where `auto` is sparse.
WIDE = Sizes(12, 6, 3, 24, 2, 1)

# One of each edge that the specification has.
EDGES = {
    "usual": Sizes(7, 6, 3, 8, 2, 1),
    "one task": Sizes(5, 4, 1, 6, 1, 2),
    "no shared": Sizes(6, 4, 3, 7, 0, 2),
    "no private": Sizes(6, 4, 3, 7, 3, 0),
    "all shared": Sizes(4, 4, 2, 5, 5, 0),
    "every expert": Sizes(5, 4, 2, 6, 2, 4),
    "privates of tasks": Sizes(8, 4, 3, 9, 1, [0, 3, 1]),
    "one expert": Sizes(3, 4, 2, 1, 1, 0),
    "no instance": Sizes(0, 4, 2, 6, 1, 1),
    "one instance": Sizes(1, 4, 2, 6, 1, 1),
}


class Problem(NamedTuple):
    """Instances and weights, float32. The oracle and the layers get the same numbers."""

    sizes: Sizes
    h: np.ndarray
    router: np.ndarray
    kernels: list[np.ndarray]
    biases: list[np.ndarray]
    task_weights: list[float] | None = None

    def route(self, h=None):
        h = self.h if h is None else h
        size = self.sizes
        return oracle.route(h, self.router, size.num_shared, size.num_private, self.task_weights)

    def forward(self, h=None, **mlp):
        h = self.h if h is None else h
        route = self.route(h)
        return oracle.forward(h, route.chosen, route.weights, self.kernels, self.biases, **mlp)

    def layer(self, **kwargs):
        """An `SMES` with these weights."""
        size = self.sizes
        # Zeros, because drawing values that are replaced at once is slow on JAX.
        zeros = {"router_initializer": "zeros", "kernel_initializer": "zeros"}
        layer = SMES(
            *(size.num_tasks, size.num_experts, size.num_shared, size.num_private, size.units),
            **{"task_weights": self.task_weights, **zeros, **kwargs},
        )
        layer.build((None, size.width))
        layer.router.kernel.assign(self.router)
        for variable, value in zip(layer.experts.kernels, self.kernels, strict=True):
            variable.assign(value)
        for variable, value in zip(layer.experts.biases, self.biases, strict=True):
            variable.assign(value)
        return layer


def problem(size, seed=0, task_weights=None):
    """Random numbers of these sizes; no weight is special, so no two experts are alike."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    widths = [size.width, *size.units]
    kernels = [
        draw(size.num_experts, *pair) / np.float32(pair[0] ** 0.5) for pair in itertools.pairwise(widths)
    ]
    biases = [draw(size.num_experts, width) for width in size.units]
    h = draw(size.batch, size.width)
    return Problem(size, h, draw(size.width, size.num_tasks, size.num_experts), kernels, biases, task_weights)


seeds = st.integers(0, 2**16)


@st.composite
def problems(draw, max_batch=9):
    """Problems of drawn sizes, seeds and task weights, away from routing boundaries.

    Float32 can't tell scores that are nearer than its rounding; exact ties have tests of their own.
    """
    size = draw(sizes(max_batch))
    weight = st.sampled_from([0.0, 0.5, 1.0, 3.0])
    weights = st.lists(weight, min_size=size.num_tasks, max_size=size.num_tasks).filter(any)
    made = problem(size, draw(seeds), draw(st.one_of(st.none(), weights)))
    while made.route().margin < 1e-5:
        made = problem(size, draw(seeds), made.task_weights)
    return made
