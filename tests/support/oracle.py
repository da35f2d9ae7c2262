"""The specification in NumPy float64, with loops over instances `b`, tasks `t` and experts `e`.

Written from the specification and not from the library, which it is there to check. It is slow, and
it shares no code, no approach and no precision with what it checks.
"""

from typing import NamedTuple

import numpy as np


class Route(NamedTuple):
    """What routing decides. `margin` is the smallest gap between a chosen and a passed-over expert."""

    logits: np.ndarray
    probabilities: np.ndarray
    score: np.ndarray
    shared: np.ndarray
    chosen: np.ndarray
    weights: np.ndarray
    union: np.ndarray
    margin: float


def softmax(values):
    exponents = np.exp(values - np.max(values))
    return exponents / exponents.sum()


def top_k(scores, k, candidates):
    """The `k` best of `candidates`; of equals the lower index."""
    picks = []
    for _ in range(k):
        best = None
        for e in sorted(set(candidates) - set(picks)):
            if best is None or scores[e] > scores[best]:
                best = e
        picks.append(best)
    return picks


def gap(scores, picks, candidates):
    """How far the worst pick is above the best candidate that was passed over."""
    rest = [scores[e] for e in candidates if e not in picks]
    return min(scores[e] for e in picks) - max(rest) if picks and rest else np.inf


def private_counts(num_private, num_tasks):
    return [num_private] * num_tasks if isinstance(num_private, int) else list(num_private)


def task_shares(task_weights, num_tasks):
    weights = np.ones(num_tasks) if task_weights is None else np.asarray(task_weights, np.float64)
    return weights / weights.sum()


def logits_of(h, router):
    """`z[b,t,e]` for instances `[B, D]` and routers `[D, T, E]`."""
    h, router = np.asarray(h, np.float64), np.asarray(router, np.float64)
    logits = np.zeros((len(h), *router.shape[1:]))
    for b, t, e in np.ndindex(*logits.shape):
        logits[b, t, e] = np.sum(h[b] * router[:, t, e])
    return logits


def route_logits(logits, num_shared, num_private, task_weights=None):
    """Steps 1 to 6 of "Routing"."""
    batch, num_tasks, num_experts = logits.shape
    shares, privates = task_shares(task_weights, num_tasks), private_counts(num_private, num_tasks)
    probabilities, weights = np.zeros_like(logits), np.zeros_like(logits)
    score = np.zeros((batch, num_experts))
    shared, chosen = np.zeros((batch, num_experts), bool), np.zeros(logits.shape, bool)
    margin, everyone = np.inf, range(num_experts)
    for b in range(batch):
        for t in range(num_tasks):
            probabilities[b, t] = softmax(logits[b, t])
            score[b] += shares[t] * probabilities[b, t]
        common = top_k(score[b], num_shared, everyone)
        margin = min(margin, gap(score[b], common, everyone))
        shared[b, common] = True
        for t in range(num_tasks):
            others = [e for e in everyone if e not in common]
            own = top_k(logits[b, t], privates[t], others)
            margin = min(margin, gap(logits[b, t], own, others))
            chosen[b, t, common + own] = True
            weights[b, t, common + own] = softmax(logits[b, t, common + own])
    return Route(logits, probabilities, score, shared, chosen, weights, chosen.any(axis=1), margin)


def route(h, router, num_shared, num_private, task_weights=None):
    return route_logits(logits_of(h, router), num_shared, num_private, task_weights)


def executed(union, bound):
    """Each row's experts, ascending, padded with E."""
    lists = np.full((len(union), bound), union.shape[1])
    for b, row in enumerate(union):
        experts = [e for e, member in enumerate(row) if member]
        lists[b, : len(experts)] = experts
    return lists


def relu(values):
    return np.maximum(values, 0.0)


def expert(row, e, kernels, biases, activation=relu, output_activation=None, normalize=False):
    """`f_e(h[b])`: the MLP of one expert on one instance."""
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        row = row @ np.asarray(kernel, np.float64)[e] + np.asarray(bias, np.float64)[e]
        act = activation if layer < len(kernels) - 1 else output_activation
        row = row if act is None else act(row)
    return row / np.sqrt(np.mean(row**2) + 1e-6) if normalize else row


def forward(h, chosen, weights, kernels, biases, **mlp):
    """`y[b,t,:] = sum over e in K_t(b) of g[b,t,e] * f_e(h[b])`."""
    h = np.asarray(h, np.float64)
    batch, num_tasks, num_experts = chosen.shape
    outputs = np.zeros((batch, num_tasks, np.shape(kernels[-1])[2]))
    for b in range(batch):
        for e in range(num_experts):
            if not chosen[b, :, e].any():
                continue
            output = expert(h[b], e, kernels, biases, **mlp)
            for t in range(num_tasks):
                if chosen[b, t, e]:
                    outputs[b, t] += weights[b, t, e] * output
    return outputs


def loads(chosen, mask=None):
    """`f[e]`: how often expert e is chosen, over the (b, t) that count. Also the number of those."""
    batch, num_tasks, num_experts = chosen.shape
    f, count = np.zeros(num_experts), 0
    for b in range(batch):
        if mask is None or mask[b]:
            for t in range(num_tasks):
                f += chosen[b, t]
                count += 1
    return f / max(count, 1), count


def balance_loss(probabilities, chosen, mask=None):
    """`L_lb = (E / mean_t K_t) * sum_e f[e] * p[e]`; zero where no row counts."""
    f, count = loads(chosen, mask)
    if not count:
        return 0.0
    p = np.zeros(chosen.shape[2])
    for b in range(len(chosen)):
        if mask is None or mask[b]:
            p += probabilities[b].sum(axis=0)
    picks_of_tasks = [chosen[0, t].sum() for t in range(chosen.shape[1])]
    return chosen.shape[2] / np.mean(picks_of_tasks) * np.sum(f * p / count)


def balance_gradient(probabilities, chosen, mask=None):
    """Gradient of the balance loss with respect to the logits, f held fixed.

    `dL/dz[b,t,i] = E / K / (B T) * p[b,t,i] * (f[i] - sum_e f[e] p[b,t,e])`: softmax's derivative.
    """
    f, count = loads(chosen, mask)
    gradient = np.zeros_like(probabilities)
    factor = chosen.shape[2] / np.mean(chosen.sum(axis=2)) / max(count, 1)
    for b, t, i in np.ndindex(*chosen.shape):
        if mask is None or mask[b]:
            p = probabilities[b, t]
            gradient[b, t, i] = factor * p[i] * (f[i] - np.sum(f * p))
    return gradient


def finite_differences(function, array, step=1e-6):
    """Central differences of a scalar `function(array)` in float64."""
    array = np.array(array, np.float64)
    gradient = np.zeros_like(array)
    for index in np.ndindex(*array.shape):
        above, below = array.copy(), array.copy()
        above[index] += step
        below[index] -= step
        gradient[index] = (function(above) - function(below)) / (2 * step)
    return gradient
