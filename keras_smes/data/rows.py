"""What training, validation, evaluation and scoring take: rows in memory or on disk, by one protocol."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np

from keras_smes.data.interactions import Interactions
from keras_smes.features.schema import FeatureSchema
from keras_smes.tasks import Task

Share = tuple[int, int]


class Rows(Protocol):
    """Rows of a log in order: `Interactions`, or `StoredInteractions`, a part of which is in memory."""

    @property
    def name(self) -> str:
        """Name of the data set."""

    @property
    def schema(self) -> FeatureSchema:
        """The features."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is predicted."""

    def __len__(self) -> int: ...

    def pieces(self, share: Share = (0, 1)) -> Iterator[tuple[slice, Interactions]]:
        """Yields all rows, some at a time, and which they are; or the i-th of n shares of them."""

    def labels(self) -> Mapping[str, np.ndarray]:
        """Returns the label columns of all rows, float32, NaN where unknown."""

    def user_ids(self) -> np.ndarray:
        """Returns the user of each row, `None` where there is none."""

    def request_ids(self) -> np.ndarray | None:
        """Returns the request of each row; `None` if rows have no such role."""

    def to_train(self) -> "Rows":
        """Returns the rows that are trained on."""

    def weights(self) -> np.ndarray:
        """Returns the weight of each row in losses, float32 `[N]`."""
