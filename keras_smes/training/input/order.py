"""Order of the rows in an epoch, from the seed and the epoch alone; the same in memory and on disk.

Up to `GROUP_BLOCKS * BLOCK_ROWS` rows are shuffled as a whole. More rows are cut into blocks of consecutive
rows. Blocks are shuffled, and then the rows within each group of blocks, so only a group must fit in memory.
Each block of a group belongs to a lane, and the rows of a group come from its lanes in turn. A worker that
takes every n-th row of a batch therefore reads every n-th lane only.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

BLOCK_ROWS = 2**13
GROUP_BLOCKS = 2**8
LANES = 2**4  # divisible by the number of workers: equal shares


@dataclasses.dataclass(frozen=True)
class Lane:
    """Blocks of a group that are shuffled together.

    Args:
        blocks: The row numbers of each block.
        seed: Seed of their order.
    """

    blocks: tuple[range, ...]
    seed: tuple[int, ...]

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def order(self) -> np.ndarray:
        """Returns the permutation of the lane's rows, int64."""
        return np.random.default_rng(self.seed).permutation(len(self))

    def rows(self) -> np.ndarray:
        """Returns the shuffled row numbers, int64."""
        return np.concatenate([np.arange(block.start, block.stop) for block in self.blocks])[self.order()]


@dataclasses.dataclass(frozen=True)
class Group:
    """Consecutive rows of an epoch: of L lanes, position p is row p // L of lane p % L.

    Args:
        first: Position of its first row in the epoch.
        lanes: The lanes, of equal length.
    """

    first: int
    lanes: tuple[Lane, ...]

    @property
    def end(self) -> int:
        """Position after its last row."""
        return self.first + sum(map(len, self.lanes))

    def rows(self) -> np.ndarray:
        """Returns its row numbers in order, int64."""
        return np.stack([lane.rows() for lane in self.lanes], axis=1).reshape(-1)


def groups(num_rows: int, seed: int, epoch: int) -> Iterator[Group]:
    """Yields the groups of an epoch in order."""
    if num_rows <= GROUP_BLOCKS * BLOCK_ROWS:
        yield Group(0, (Lane((range(num_rows),), (seed, epoch)),))
        return
    whole = num_rows // BLOCK_ROWS
    blocks = np.random.default_rng((seed, epoch)).permutation(whole).tolist()
    dealt = whole - whole % LANES
    for number, start in enumerate(range(0, dealt, GROUP_BLOCKS)):
        own = blocks[start : min(start + GROUP_BLOCKS, dealt)]
        lanes = (Lane(tuple(_ranges(own[k::LANES])), (seed, epoch, number, k)) for k in range(LANES))
        yield Group(start * BLOCK_ROWS, tuple(lanes))
    rest = [*_ranges(blocks[dealt:]), range(whole * BLOCK_ROWS, num_rows)]
    if any(map(len, rest)):
        yield Group(dealt * BLOCK_ROWS, (Lane(tuple(rest), (seed, epoch, dealt)),))


def epoch_order(num_rows: int, seed: int, epoch: int) -> np.ndarray:
    """Returns all row numbers in the order of an epoch, int64 `[num_rows]`."""
    return np.concatenate([group.rows() for group in groups(num_rows, seed, epoch)])


def _ranges(blocks: list[int]) -> list[range]:
    return [range(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS) for block in blocks]
