"""The cross entropy of a logit, from weights of the two outcomes."""

from typing import Any

from keras import ops

Tensor = Any


def cross_entropy(positive: Tensor, negative: Tensor, logits: Tensor) -> Tensor:
    """Returns `positive * -log(p) + negative * -log(1 - p)`, `p = sigmoid(logits)`, in one shape.

    By the softplus of the logit: no probability is rounded to 0 or 1 on the way, on any backend.
    """
    return positive * ops.softplus(-logits) + negative * ops.softplus(logits)
