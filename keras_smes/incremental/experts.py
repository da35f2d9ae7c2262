"""Adds experts to a trained pool: noisy copies, which no row is routed to before the first step."""

from typing import Any

import numpy as np

NOISE = 0.05  # relative to the standard deviation of the copied weights
DEPTH = 16.0


def expert_sources(before: int, after: int) -> np.ndarray:
    """Returns the source of each expert: old ones keep their index, new ones copy the old ones in turn.

    Raises:
        ValueError: The number decreases.

    Example:

    >>> expert_sources(3, 5).tolist()
    [0, 1, 2, 0, 1]
    """
    if after < before:
        raise ValueError(f"`num_experts` must be at least {before}, as before. Received: num_experts={after}")
    return np.arange(after) % before


def with_noise(values_e: np.ndarray, before: int, generator: np.random.Generator) -> np.ndarray:
    """Returns weights `[E, ...]` with noise on those of new experts, so that copies diverge."""
    noisy = values_e.copy()
    spread = NOISE * values_e[:before].std()
    noisy[before:] += spread * generator.standard_normal(noisy[before:].shape)
    return noisy.astype(values_e.dtype)


def closed_columns(
    kernel_dte: np.ndarray,
    before: int,
    h_bd: np.ndarray,
    generator: np.random.Generator,
    depth: float = DEPTH,
) -> np.ndarray:
    """Returns a router's kernel whose new experts score below all old ones, for every non-negative h.

    ```
    k[d,t,new] = min_e k[d,t,e] - c[t] - noise[d,t,new]             c, noise >= 0
    z[b,t,new] = sum_d h[b,d] k[d,t,new] <= min_e z[b,t,e]          since h[b,d] >= 0, after a ReLU
    ```

    So p[b,t,new] <= p[b,t,e] for all old e and all t, and s[b,new] <= s[b,e]. As the higher index loses ties,
    a new expert is neither shared nor private while an old one is left. Gates are a softmax over the chosen
    experts alone, and don't change.

    The full softmax gives the new experts q[b,t], taken from the old ones of task t in proportion. So s
    changes by a factor between 1 - max_t q[b,t] and 1, and only old experts closer than that can swap ranks.
    c makes q
    small: on average over `h_bd`, a new expert's logit is at least `depth` below the log-sum-exp of the old
    ones. Routers have no bias, so q is larger for rows of small h: at a depth of 16 it reached 0.015, and 2
    of 360,000 rows chose differently (none at 20). With q = 0, probabilities and choices are bit-identical.

    The balance loss opens new experts during training: it raises the probability of experts without load, by
    a gradient proportional to that probability. So q can't be 0, and no depth guarantees that no row changes.

    Args:
        kernel_dte: `[D, T, E]`, the router's kernel; the new experts' columns are overwritten.
        before: Number of old experts, the first ones.
        h_bd: `[B, D]`, encoded rows.
        generator: Source of the noise by which new experts differ.
        depth: At least 0. Defaults to `16.0`: for an average row, q is about 1e-7 per new expert, the
            resolution of float32.

    Example:

    >>> kernel, h = np.array([[[1.0, -2.0, 9.0]], [[-3.0, 4.0, 9.0]]]), np.ones((1, 2))
    >>> closed = closed_columns(kernel, 2, h, np.random.default_rng(0))
    >>> bool((closed[:, 0, 2] <= [-2.0, -3.0]).all()), bool(closed[:, 0, 2].sum() < 2 - 16)
    (True, True)
    """
    closed, old = kernel_dte.copy(), kernel_dte[:, :, :before].astype(np.float64)
    lowest_dt = old.min(axis=2)
    total_bt = np.logaddexp.reduce(np.einsum("bd,dte->bte", h_bd, old), axis=2)
    depth_t = (total_bt - h_bd @ lowest_dt).mean(axis=0)
    lowered_t = np.maximum(depth - depth_t, 0.0) / np.maximum(h_bd.sum(axis=1).mean(), 1e-9)
    noise = NOISE * old.std() * np.abs(generator.standard_normal(closed[:, :, before:].shape))
    closed[:, :, before:] = (lowest_dt - lowered_t)[:, :, None] - noise
    return closed


def check_not_negative(core: Any) -> None:
    """Rejects a ranker whose encoded instances may be negative: `closed_columns` guarantees nothing there."""
    names = [layer.name for layer in core.layers]
    has_units, normalised = any(name.startswith("encoder_") for name in names), "batch_norm" in names
    if normalised or not has_units:
        received = "batch_norm=True" if normalised else "units=()"
        raise ValueError(
            "Experts can be added where an encoder with `units` ends in a ReLU: elsewhere they might be "
            f"chosen at once. Received: {received}"
        )
