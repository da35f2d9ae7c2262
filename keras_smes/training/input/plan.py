"""Which rows are in which batch."""

import dataclasses
import math
from typing import Any

from keras_smes.training.input.packed_rows import ALL, PackedRows, Piece


@dataclasses.dataclass(frozen=True)
class StepPlan:
    """Which rows are in which batch: of the seed and the place alone.

    Args:
        rows: The `PackedRows`, of features, targets and counts.
        batch_size: Rows a batch; the last of an epoch may have fewer.
        seed: Seed of the orders.
    """

    rows: PackedRows
    batch_size: int
    seed: int

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return math.ceil(self.rows.num_rows / self.batch_size)

    def epoch(self, epoch: int, first_step: int = 0, piece: Piece = ALL) -> Any:
        """Returns the batches of an epoch from a step on, as a `tf.data.Dataset`; or a piece of each."""
        return self.rows.epoch(self.seed, epoch, self.batch_size, first_step, piece)

    def batch(self, epoch: int, step: int) -> tuple[dict[str, Any], ...]:
        """Returns one batch."""
        found: tuple[dict[str, Any], ...] = next(iter(self.epoch(epoch, step)))
        return found
