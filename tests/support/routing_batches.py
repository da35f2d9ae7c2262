"""Batches of routing, and the health that is counted from them."""

import functools
import itertools

import numpy as np

from keras_smes.metrics import RoutingHealth
from support.backends import TENSORFLOW, compiled

TASKS, EXPERTS, BOUND = 3, 8, 5


def batch(seed, count, num_tasks=TASKS, num_experts=EXPERTS):
    """Routes of two experts chosen by all tasks and one by each for itself, skewed to low indices."""
    rng = np.random.default_rng(seed)
    logits_bte = rng.normal(size=(count, num_tasks, num_experts)) - 0.5 * np.arange(num_experts)
    p_bte = np.exp(logits_bte) / np.exp(logits_bte).sum(axis=2, keepdims=True)
    chosen_bte = np.zeros((count, num_tasks, num_experts), bool)
    for b, t in itertools.product(range(count), range(num_tasks)):
        shared = np.argsort(-p_bte[b].sum(axis=0))[:2]
        private = next(e for e in np.argsort(-p_bte[b, t]) if e not in shared)
        chosen_bte[b, t, [*shared, private]] = True
    return p_bte.astype(np.float32), chosen_bte, chosen_bte.any(axis=1)


def routing_of(arrays):
    return dict(zip(("probabilities", "chosen", "union"), arrays, strict=True))


def health_of(*batches, num_tasks=TASKS, num_experts=EXPERTS):
    health = RoutingHealth(num_tasks, num_experts, BOUND)
    for arrays in batches:
        if TENSORFLOW:
            health.update_state(routing_of(arrays))
        else:
            update_padded(health, arrays)
    return health


@functools.cache
def step_of(num_tasks, num_experts):
    return compiled(RoutingHealth(num_tasks, num_experts, BOUND).stateless_update_state)


def update_padded(health, arrays):
    """Updates in one shape for many numbers of rows: JAX compiles each shape anew, for seconds."""
    count = len(arrays[0])
    padded = [np.concatenate([a, np.zeros((-count % 32 or 32, *a.shape[1:]), a.dtype)]) for a in arrays]
    step = step_of(health.num_tasks, health.num_experts)
    mask_b = np.arange(len(padded[0])) < count
    values = step([v.value for v in health.variables], routing_of(padded), mask_b)
    for variable, value in zip(health.variables, values, strict=True):
        variable.assign(value)
