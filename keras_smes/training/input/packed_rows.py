"""Packed rows: in memory, or in a file of which one group at a time is in memory."""

import abc
import hashlib
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from keras_smes.training.input.order import Group, Lane, epoch_order, groups
from keras_smes.training.input.packing import WORD, Arrays, Packing
from keras_smes.types import Tensor

AHEAD = 4  # batches that are made while one is trained on
ALIGNMENT = 64
CHUNK_ROWS = 2**17
Piece = tuple[int, int]
ALL: Piece = (0, 1)


class PackedRows(abc.ABC):
    """N rows of equal width, with the packing that describes their words."""

    def __init__(self, packing: Packing, num_rows: int) -> None:
        self.packing, self.num_rows = packing, num_rows

    @abc.abstractmethod
    def take(self, rows_b: Tensor, piece: Piece = ALL) -> tuple[dict[str, Tensor], ...]:
        """Returns rows by number as TensorFlow tensors; of a piece `(i, n)` only rows i, i + n, ..."""

    @abc.abstractmethod
    def epoch(self, seed: int, epoch: int, batch_size: int, first_step: int = 0, piece: Piece = ALL) -> Any:
        """Makes a `tf.data.Dataset` of an epoch's batches from a step on, or of a piece of each."""

    @abc.abstractmethod
    def words(self, rows: range) -> np.ndarray:
        """Returns the words of consecutive rows, int32 `[n, width]`."""

    def head(self, rows: int) -> tuple[dict[str, np.ndarray], ...]:
        """Returns the first rows."""
        return self.packing.unpack(self.words(range(min(rows, self.num_rows))))

    def chunks(self, share: Piece = ALL) -> Iterator[tuple[slice, tuple[dict[str, np.ndarray], ...]]]:
        """Yields chunks of rows in order, with their row numbers; of n shares the chunks i, i + n, ..."""
        for start in range(share[0] * CHUNK_ROWS, self.num_rows, share[1] * CHUNK_ROWS):
            rows = range(start, min(start + CHUNK_ROWS, self.num_rows))
            yield slice(rows.start, rows.stop), self.packing.unpack(self.words(rows))

    def digest(self) -> str:
        """Returns a hash of names, types, shapes and values."""
        digest = begun_digest(self.packing)
        for start in range(0, self.num_rows, CHUNK_ROWS):
            digest.update(self.words(range(start, min(start + CHUNK_ROWS, self.num_rows))).data)
        return digest.hexdigest()


class RowsInMemory(PackedRows):
    """Packed rows in memory."""

    def __init__(self, parts: tuple[Arrays, ...]) -> None:
        import tensorflow as tf

        packing = Packing.of(parts)
        words = packing.pack(parts)
        super().__init__(packing, len(words))
        # On the host, so that only batches are copied to an accelerator.
        with tf.device("CPU:0"):
            self._words = tf.constant(words)

    def take(self, rows_b: Tensor, piece: Piece = ALL) -> tuple[dict[str, Tensor], ...]:
        import tensorflow as tf

        return self.packing.tensors(tf.gather(self._words, rows_b[piece[0] :: piece[1]]))

    def epoch(self, seed: int, epoch: int, batch_size: int, first_step: int = 0, piece: Piece = ALL) -> Any:
        order = epoch_order(self.num_rows, seed, epoch)[first_step * batch_size :]
        return self.batches(batch_size, order, piece)

    def batches(self, batch_size: int, order: np.ndarray | None = None, piece: Piece = ALL) -> Any:
        """Makes a `tf.data.Dataset` of batches of rows by number, by default of all rows in file order."""
        import tensorflow as tf

        order = np.arange(self.num_rows) if order is None else order
        own = tf.constant(order[_own(np.arange(len(order)), batch_size, piece)])
        steps = math.ceil(len(order) / batch_size)
        return _gathered(self.packing, self._words, own, steps, _size(batch_size, piece)).prefetch(AHEAD)

    def words(self, rows: range) -> np.ndarray:
        words: np.ndarray = self._words[rows.start : rows.stop].numpy()
        return words


class RowsOnDisk(PackedRows):
    """Packed rows in a file of words, of which one group at a time is in memory; `known` is their digest."""

    def __init__(self, path: Path, packing: Packing, num_rows: int, known: str | None = None) -> None:
        super().__init__(packing, num_rows)
        self.path, self._known = path, known
        self.row_bytes = packing.width * WORD.itemsize
        if path.stat().st_size != num_rows * self.row_bytes:
            raise ValueError(
                f"{path} must have {num_rows} rows of {self.row_bytes} bytes. "
                f"Received: {path.stat().st_size} bytes"
            )

    def take(self, rows_b: Tensor, piece: Piece = ALL) -> tuple[dict[str, Tensor], ...]:
        import tensorflow as tf

        # The graph holds the file name: workers of a data service read the file themselves.
        shape = (self.num_rows, self.packing.width)
        words = tf.raw_ops.ImmutableConst(dtype=tf.int32, shape=shape, memory_region_name=str(self.path))
        return self.packing.tensors(tf.gather(words, rows_b[piece[0] :: piece[1]]))

    def epoch(self, seed: int, epoch: int, batch_size: int, first_step: int = 0, piece: Piece = ALL) -> Any:
        import tensorflow as tf

        width, size = self.packing.width, _size(batch_size, piece)
        signature = (((None, width), tf.int32), ((None,), tf.int64), ((), tf.int64))
        read = tf.data.Dataset.from_generator(
            lambda: GroupReader(self, batch_size, piece, first_step).groups(seed, epoch),
            output_signature=tuple(tf.TensorSpec(*spec) for spec in signature),
        )
        batches = read.flat_map(
            lambda words, order, steps: _gathered(self.packing, words, order, steps, size)
        )
        steps = math.ceil(self.num_rows / batch_size) - first_step
        return batches.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(AHEAD)

    def words(self, rows: range) -> np.ndarray:
        words = np.empty((len(rows), self.packing.width), WORD)
        with self.path.open("rb", buffering=0) as file:
            self.read(file, rows, words)
        return words

    def digest(self) -> str:
        return super().digest() if self._known is None else self._known

    def read(self, file: Any, rows: range, out: np.ndarray) -> None:
        """Reads the words of consecutive rows into an array of their size."""
        if not out.size:
            return
        file.seek(rows.start * self.row_bytes)
        view, done = out.reshape(-1).view(np.uint8).data, 0
        while done < len(view):
            count = file.readinto(view[done:])
            if not count:
                raise OSError(f"{self.path} ends before row {rows.stop}")
            done += count


class GroupReader:
    """Reads an epoch of rows on disk, or a piece of each of its batches, a group at a time.

    Args:
        rows: The rows.
        batch_size: Rows of a whole batch.
        piece: Which rows of each batch.
        first_step: The first batch.
    """

    def __init__(self, rows: RowsOnDisk, batch_size: int, piece: Piece, first_step: int) -> None:
        self._rows, self._batch_size, self._piece = rows, batch_size, piece
        self._done = first_step  # batches that are complete, or skipped
        self._left = np.empty((0, rows.packing.width), WORD)  # rows of a batch that a later group completes

    def groups(self, seed: int, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Yields words, the order of those to take, and how many batches they complete, of each group."""
        first = self._done * self._batch_size
        for group in groups(self._rows.num_rows, seed, epoch):
            if group.end > first:
                yield self._next(group, max(first, group.first))
                _release()  # before the next group comes

    def _next(self, group: Group, since: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Reads a group, whose rows count from a place of the epoch on; what no batch takes is left."""
        share = _share(group, self._batch_size, self._piece)
        words, order = self._read(group.lanes[share[0] :: share[1]])
        left = np.arange(len(words) - len(self._left), len(words))
        order = np.concatenate([left, order[self._places(group, since, share)]])
        is_last = group.end == self._rows.num_rows
        steps = (group.end + (self._batch_size - 1 if is_last else 0)) // self._batch_size - self._done
        self._done += steps
        self._left = words[order[steps * _size(self._batch_size, self._piece) :]]
        return words, order, steps

    def _places(self, group: Group, since: int, share: Piece) -> Any:
        """Returns which rows of a share of a group are in the piece, from a place of the epoch on."""
        if share == self._piece:
            return slice((since - group.first) // share[1], None)
        return _own(np.arange(since, group.end), self._batch_size, self._piece) - group.first

    def _read(self, lanes: Sequence[Lane]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the words of lanes of equal length, then those left before, and the order of the lanes'."""
        size = len(lanes[0])
        words = _empty((len(lanes) * size + len(self._left), self._rows.packing.width))
        words[len(lanes) * size :] = self._left

        def read(number: int) -> np.ndarray:
            start = number * size
            order = lanes[number].order() + start
            with self._rows.path.open("rb", buffering=0) as file:
                for block in lanes[number].blocks:
                    self._rows.read(file, block, words[start : start + len(block)])
                    start += len(block)
            return order

        with ThreadPoolExecutor(2) as pool:
            return words, np.stack(list(pool.map(read, range(len(lanes)))), axis=1).reshape(-1)


def _gathered(packing: Packing, words: Tensor, order: Tensor, steps: Any, size: int) -> Any:
    """Makes a `tf.data.Dataset` of batches of so many rows, gathered in an order; the last may have fewer."""
    import tensorflow as tf

    # Ordering row numbers and gathering a batch at once is far cheaper than shuffling rows.
    def batch(step: Tensor) -> tuple[dict[str, Tensor], ...]:
        return packing.tensors(tf.gather(words, order[step * size : (step + 1) * size]))

    return tf.data.Dataset.range(steps).map(batch, num_parallel_calls=2, deterministic=True)


def _own(places: np.ndarray, batch_size: int, piece: Piece) -> np.ndarray:
    """Returns those places of an epoch whose rows are in a piece of each batch."""
    return places if piece == ALL else places[places % batch_size % piece[1] == piece[0]]


def _size(batch_size: int, piece: Piece) -> int:
    """Rows of a piece of a batch."""
    return len(range(piece[0], batch_size, piece[1]))


def _share(group: Group, batch_size: int, piece: Piece) -> Piece:
    """The lanes of a piece: every n-th, or all where n doesn't divide lanes and batches."""
    return ALL if len(group.lanes) % piece[1] or batch_size % piece[1] else piece


def _release() -> None:
    """Lets TensorFlow give back the arrays that it has done with: it does when it takes another one."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        tf.constant(np.zeros(1))


def _empty(shape: tuple[int, int]) -> np.ndarray:
    """Returns an array of words, aligned so that TensorFlow takes it without a copy."""
    size = math.prod(shape) * WORD.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(WORD).reshape(shape)


def begun_digest(packing: Packing) -> Any:
    """Returns the hash of a packing, to be updated with the words of all rows in order."""
    return hashlib.blake2b(str(packing.to_config()).encode(), digest_size=16)
