"""Binary labels: a click, a like, a purchase."""

import dataclasses
from typing import ClassVar

import numpy as np
from keras import ops

from keras_smes.tasks.cross_entropy import cross_entropy
from keras_smes.tasks.registry import register_kind
from keras_smes.tasks.task import Task
from keras_smes.types import Tensor


@register_kind
@dataclasses.dataclass(frozen=True)
class BinaryTask(Task):
    """The probability that a label is 1.

    ```
    loss  = -y * log(p) - (1 - y) * log(1 - p),  p = sigmoid(logit)
    score = p
    ```

    With a `condition`, p is the probability given the condition. To rank impressions by both, multiply the
    two scores, for example by a `ScoreFusion`.

    Args:
        name: Name of the task and of its score.
        label: Label column, each 0 or 1, or NaN where unknown. Defaults to `None`, the name.
        weight: Factor of the loss. Defaults to `1.0`.
        condition: Label column that must be 1 for a row to count. Defaults to `None`.
        units: Widths of the tower's hidden layers. Defaults to `None`, the ranker's.

    Example:

    >>> click, buy = BinaryTask("click"), BinaryTask("buy", condition="click")
    >>> float(click.score(np.zeros(1, "float32"))[0])
    0.5
    """

    kind: ClassVar[str] = "binary"

    def score(self, logits: Tensor) -> Tensor:
        return ops.sigmoid(ops.cast(logits, "float32"))

    def row_losses(self, labels_b: Tensor, logits: Tensor) -> Tensor:
        return cross_entropy(labels_b, 1 - labels_b, logits)

    @property
    def rule(self) -> str:
        return "0 or 1"

    def is_label(self, values_b: np.ndarray) -> np.ndarray:
        return np.isin(values_b, (0, 1))
