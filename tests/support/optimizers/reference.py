"""The optimizers' rules as loops over rows in NumPy float64, from the papers, apart from the library."""

import numpy as np


def summed(gradients):
    """`{row: gradient}` out of `(ids, vectors)`, a repeated id's vectors summed; rows of zeros are absent."""
    rows = {}
    for row, vector in zip(*gradients, strict=True):
        rows[int(row)] = rows.get(int(row), 0.0) + np.asarray(vector, np.float64)
    return {row: vector for row, vector in rows.items() if np.any(vector != 0)}


def lazy_adam(table, steps, rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """`steps` is a list of `(ids, vectors)`; returns the table after each step."""
    table = np.array(table, np.float64)
    first, second = np.zeros_like(table), np.zeros_like(table)
    tables = []
    for n, gradients in enumerate(steps, start=1):
        for row, g in summed(gradients).items():
            first[row] = beta_1 * first[row] + (1 - beta_1) * g
            second[row] = beta_2 * second[row] + (1 - beta_2) * g * g
            rate_n = rate * np.sqrt(1 - beta_2**n) / (1 - beta_1**n)
            table[row] -= rate_n * first[row] / (np.sqrt(second[row]) + epsilon)
        tables.append(table.copy())
    return tables


def rowwise_adagrad(table, steps, rate=0.01, initial=0.0, epsilon=1e-8):
    table = np.array(table, np.float64)
    accumulator = np.full(len(table), initial, np.float64)
    tables = []
    for gradients in steps:
        for row, g in summed(gradients).items():
            accumulator[row] += np.mean(g * g)
            table[row] -= rate * g / (np.sqrt(accumulator[row]) + epsilon)
        tables.append(table.copy())
    return tables


def clipped(gradients, norm):
    """All rows' gradients together scaled to at most `norm`."""
    rows = summed(gradients)
    length = np.sqrt(sum(np.sum(g * g) for g in rows.values()))
    factor = min(1.0, norm / length)
    return list(rows), [g * factor for g in rows.values()]
