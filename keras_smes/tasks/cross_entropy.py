"""Cross entropy of a logit, with one weight per outcome."""

from keras import ops

from keras_smes.types import Tensor


def cross_entropy(positive: Tensor, negative: Tensor, logits: Tensor) -> Tensor:
    """Returns `positive * -log(p) + negative * -log(1 - p)`, `p = sigmoid(logits)`, in one shape.

    It uses the softplus of the logit, so that no probability is rounded to 0 or 1, on any backend.
    """
    return positive * ops.softplus(-logits) + negative * ops.softplus(logits)
