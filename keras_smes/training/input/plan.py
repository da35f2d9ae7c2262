"""Assignment of rows to batches."""

import dataclasses
import math
from typing import Any

from keras_smes.training.input.packed_rows import ALL, PackedRows, Piece


@dataclasses.dataclass(frozen=True)
class StepPlan:
    """Assigns rows to batches from the seed and the position in training alone."""

    rows: PackedRows
    batch_size: int
    seed: int

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return math.ceil(self.rows.num_rows / self.batch_size)

    def epoch(self, epoch: int, first_step: int = 0, piece: Piece = ALL) -> Any:
        """Returns the batches of an epoch from a step on, as a `tf.data.Dataset`; or a piece of each."""
        return self.rows.epoch(self.seed, epoch, self.batch_size, first_step, piece)

    def batch(self, epoch: int, step: int) -> tuple[dict[str, Any], ...]:
        """Returns one batch."""
        found: tuple[dict[str, Any], ...] = next(iter(self.epoch(epoch, step)))
        return found
