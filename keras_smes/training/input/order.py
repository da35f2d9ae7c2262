"""Order of the rows in an epoch, from the seed and the epoch alone: the same in memory and on disk.

Up to `GROUP_BLOCKS * BLOCK_ROWS` rows are shuffled as a whole. More are cut into blocks of neighbours. Blocks
are shuffled, and a group of them at a time is shuffled within: that is what has to be in memory. Each block
of a group belongs to a lane, and the rows of a group come from one lane after the other in turn. So a worker
that takes every n-th row of a batch reads every n-th lane, and nothing else.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

BLOCK_ROWS = 2**13
GROUP_BLOCKS = 2**8
LANES = 2**4  # workers whose number divides it read equal shares


@dataclasses.dataclass(frozen=True)
class Lane:
    """Some blocks of a group, shuffled together.

    Args:
        blocks: The rows of each block, neighbours.
        seed: Of the order of their rows.
    """

    blocks: tuple[range, ...]
    seed: tuple[int, ...]

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def order(self) -> np.ndarray:
        """Returns which of the lane's rows is at each place, int64, counted through its blocks."""
        return np.random.default_rng(self.seed).permutation(len(self))

    def rows(self) -> np.ndarray:
        """Returns the number of the row at each place, int64."""
        return np.concatenate([np.arange(block.start, block.stop) for block in self.blocks])[self.order()]


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows that follow each other in an epoch: place p is that of place p // L of lane p % L, of L.

    Args:
        first: Place of its first row in the epoch.
        lanes: The lanes, of one length.
    """

    first: int
    lanes: tuple[Lane, ...]

    @property
    def end(self) -> int:
        """Place after its last row."""
        return self.first + sum(map(len, self.lanes))

    def rows(self) -> np.ndarray:
        """Returns the numbers of its rows in their order, int64."""
        return np.stack([lane.rows() for lane in self.lanes], axis=1).reshape(-1)


def groups(num_rows: int, seed: int, epoch: int) -> Iterator[Group]:
    """Yields the groups of an epoch, in their order.

    Args:
        num_rows: How many rows there are.
        seed: Seed of the orders.
        epoch: Number of the epoch; no state is carried from one to the next.
    """
    if num_rows <= GROUP_BLOCKS * BLOCK_ROWS:
        yield Group(0, (Lane((range(num_rows),), (seed, epoch)),))
        return
    whole = num_rows // BLOCK_ROWS
    blocks = np.random.default_rng((seed, epoch)).permutation(whole).tolist()
    dealt = whole - whole % LANES
    for number, start in enumerate(range(0, dealt, GROUP_BLOCKS)):
        own = blocks[start : min(start + GROUP_BLOCKS, dealt)]
        lanes = (_lane(own[k::LANES], (seed, epoch, number, k)) for k in range(LANES))
        yield Group(start * BLOCK_ROWS, tuple(lanes))
    rest = [*_ranges(blocks[dealt:]), range(whole * BLOCK_ROWS, num_rows)]
    if any(map(len, rest)):
        yield Group(dealt * BLOCK_ROWS, (Lane(tuple(rest), (seed, epoch, dealt)),))


def epoch_order(num_rows: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the numbers of all rows in the order of an epoch, int64 `[num_rows]`."""
    return np.concatenate([group.rows() for group in groups(num_rows, seed, epoch)])


def _lane(blocks: list[int], seed: tuple[int, ...]) -> Lane:
    return Lane(tuple(_ranges(blocks)), seed)


def _ranges(blocks: list[int]) -> list[range]:
    return [range(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS) for block in blocks]
