"""The ways of execution, and where each runs. A new way is one line here."""

from typing import NamedTuple

import keras


class Way(NamedTuple):
    """Where a way runs, and what can be asked of it.

    Attributes:
        backends: The backends of Keras that it runs on.
        xla: Whether it compiles with XLA.
        packs: Whether it runs each pair and nothing else, so that rows can be counted.
    """

    backends: tuple[str, ...]
    xla: bool
    packs: bool


BOTH = ("tensorflow", "jax")

WAYS = {
    "dense": Way(BOTH, xla=True, packs=False),
    "grouped": Way(("tensorflow",), xla=False, packs=True),
    "blocks": Way(BOTH, xla=True, packs=False),
    "tiles": Way(BOTH, xla=True, packs=False),
    "ragged": Way(("jax",), xla=True, packs=False),
}


def here(**traits):
    """Names of the ways that run on this backend and have these traits, such as `xla=True`."""
    backend = keras.backend.backend()
    if backend == "jax":
        traits["xla"] = True  # all that JAX runs, it compiles
    return [
        name
        for name, way in WAYS.items()
        if backend in way.backends and all(getattr(way, trait) == value for trait, value in traits.items())
    ]


def sparse():
    """Names of the ways that have something to prove against `dense`."""
    return [name for name in here() if name != "dense"]
