"""Packed rows: in memory, or in a file of which a group is in memory at a time."""

import abc
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_smes.training.input.order import Group, epoch_order, groups
from keras_smes.training.input.packing import WORD, Arrays, Packing
from keras_smes.types import Tensor

AHEAD = 4  # batches that are made while one is trained on
CHUNK_ROWS = 2**17
Piece = tuple[int, int]
ALL: Piece = (0, 1)


class PackedRows(abc.ABC):
    """N rows, each of as many words, with the packing that says what they are.

    Args:
        packing: The `Packing`.
        num_rows: N.
    """

    def __init__(self, packing: Packing, num_rows: int) -> None:
        self.packing, self.num_rows = packing, num_rows

    @abc.abstractmethod
    def take(self, rows_b: Tensor, piece: Piece = ALL) -> tuple[dict[str, Tensor], ...]:
        """Returns the rows of these numbers as TensorFlow tensors, or rows i, i + n, ... of them."""

    @abc.abstractmethod
    def epoch(self, seed: int, epoch: int, batch_size: int, first_step: int = 0, piece: Piece = ALL) -> Any:
        """Makes a `tf.data.Dataset` of the batches of an epoch.

        Args:
            seed: Seed of the orders.
            epoch: Number of the epoch.
            batch_size: Rows a batch; the last one may have fewer.
            first_step: The batch to begin with. Defaults to `0`.
            piece: `(i, n)`: rows i, i + n, i + 2n, ... of each batch. Defaults to `(0, 1)`, all of them.
        """

    @abc.abstractmethod
    def words(self, rows: range) -> np.ndarray:
        """Returns the words of neighbours, int32 `[n, width]`."""

    def head(self, rows: int) -> tuple[dict[str, np.ndarray], ...]:
        """Returns the first rows."""
        return self.packing.unpack(self.words(range(min(rows, self.num_rows))))

    def chunks(self, share: Piece = ALL) -> Iterator[tuple[slice, tuple[dict[str, np.ndarray], ...]]]:
        """Yields rows in order, some at a time, and which they are; of n shares the chunks i, i + n, ..."""
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
    """Packed rows in memory.

    Args:
        parts: A tuple of dicts of arrays of N rows, such as `(features, labels)`.
    """

    def __init__(self, parts: tuple[Arrays, ...]) -> None:
        import tensorflow as tf

        packing = Packing.of(parts)
        words = packing.pack(parts)
        super().__init__(packing, len(words))
        # On the host, wherever the model is: what crosses over is a batch, not the data.
        with tf.device("CPU:0"):
            self._words = tf.constant(words)

    def take(self, rows_b: Tensor, piece: Piece = ALL) -> tuple[dict[str, Tensor], ...]:
        import tensorflow as tf

        return self.packing.tensors(tf.gather(self._words, rows_b[piece[0] :: piece[1]]))

    def epoch(self, seed: int, epoch: int, batch_size: int, first_step: int = 0, piece: Piece = ALL) -> Any:
        order = epoch_order(self.num_rows, seed, epoch)[first_step * batch_size :]
        return self.batches(batch_size, order, piece)

    def batches(self, batch_size: int, order: np.ndarray | None = None, piece: Piece = ALL) -> Any:
        """Makes a `tf.data.Dataset` of batches.

        Args:
            batch_size: Rows a batch; the last one may have fewer.
            order: Row numbers `[n]`, those to go through in their order. Defaults to `None`, all rows in
                the order they have.
            piece: As for `epoch`.
        """
        import tensorflow as tf

        order = np.arange(self.num_rows) if order is None else order
        rows = tf.constant(order)

        # Ordering row numbers and gathering a batch at once is far cheaper than shuffling rows.
        def batch(start: Tensor) -> tuple[dict[str, Tensor], ...]:
            return self.take(rows[start : start + batch_size], piece)

        starts = tf.data.Dataset.range(0, len(order), batch_size)
        return starts.map(batch, num_parallel_calls=2, deterministic=True).prefetch(AHEAD)

    def words(self, rows: range) -> np.ndarray:
        words: np.ndarray = self._words[rows.start : rows.stop].numpy()
        return words


class RowsOnDisk(PackedRows):
    """Packed rows in a file, as words one after the other; a group of an epoch is in memory at a time.

    Args:
        path: The file.
        packing: The `Packing`.
        num_rows: N.
        known: What `digest` returns. Defaults to `None`: it is computed.
    """

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

        # The graph holds the name of the file: workers of a data service read it themselves.
        shape = (self.num_rows, self.packing.width)
        words = tf.raw_ops.ImmutableConst(dtype=tf.int32, shape=shape, memory_region_name=str(self.path))
        return self.packing.tensors(tf.gather(words, rows_b[piece[0] :: piece[1]]))

    def epoch(self, seed: int, epoch: int, batch_size: int, first_step: int = 0, piece: Piece = ALL) -> Any:
        import tensorflow as tf

        made = tf.data.Dataset.from_generator(
            lambda: self._batches(seed, epoch, batch_size, first_step, piece),
            output_signature=tf.TensorSpec((None, self.packing.width), tf.int32),
        )
        steps = math.ceil(self.num_rows / batch_size) - first_step
        counted = made.apply(tf.data.experimental.assert_cardinality(steps))
        return counted.map(self.packing.tensors).prefetch(AHEAD)

    def words(self, rows: range) -> np.ndarray:
        words = np.empty((len(rows), self.packing.width), WORD)
        with self.path.open("rb", buffering=0) as file:
            self.read(file, rows, words)
        return words

    def digest(self) -> str:
        return super().digest() if self._known is None else self._known

    def read(self, file: Any, rows: range, out: np.ndarray) -> None:
        """Reads the words of neighbours into an array of their size."""
        if not out.size:
            return
        file.seek(rows.start * self.row_bytes)
        view, done = out.reshape(-1).view(np.uint8).data, 0
        while done < len(view):
            count = file.readinto(view[done:])
            if not count:
                raise OSError(f"{self.path} ends before row {rows.stop}")
            done += count

    def _batches(
        self, seed: int, epoch: int, batch_size: int, first_step: int, piece: Piece
    ) -> Iterator[np.ndarray]:
        held: list[np.ndarray] = []  # what earlier groups have of the next batch
        first = first_step * batch_size
        for group in groups(self.num_rows, seed, epoch):
            if group.end <= first:
                continue
            window = None  # the last one goes before the next one comes
            window = _Window(self, group, _share(group, batch_size, piece))
            for start in range(max(first, group.first) // batch_size * batch_size, group.end, batch_size):
                end = min(start + batch_size, self.num_rows)
                places = np.arange(start + piece[0], end, piece[1])
                held.append(window.take(places[(places >= group.first) & (places < group.end)]))
                if end <= group.end:
                    yield held[0] if len(held) == 1 else np.concatenate(held)
                    held = []


def _share(group: Group, batch_size: int, piece: Piece) -> Piece:
    """Which lanes have the rows of a piece: every n-th, or all where lanes or batches don't divide so."""
    return ALL if len(group.lanes) % piece[1] or batch_size % piece[1] else piece


class _Window:
    """The rows of some lanes of a group, in memory: of n shares the lanes i, i + n, ..."""

    def __init__(self, rows: RowsOnDisk, group: Group, share: Piece) -> None:
        self._group, self._share = group, share
        lanes = group.lanes[share[0] :: share[1]]
        size = len(lanes[0])
        self._words = np.empty((len(lanes) * size, rows.packing.width), WORD)
        self._order = np.stack([lane.order() + k * size for k, lane in enumerate(lanes)])
        start = 0
        with rows.path.open("rb", buffering=0) as file:
            for block in (block for lane in lanes for block in lane.blocks):
                rows.read(file, block, self._words[start : start + len(block)])
                start += len(block)

    def take(self, places: np.ndarray) -> np.ndarray:
        """Returns the words of the rows at these places of the epoch."""
        place, lane = np.divmod(places - self._group.first, len(self._group.lanes))
        return self._words[self._order[lane // self._share[1], place]]


def begun_digest(packing: Packing) -> Any:
    """Returns the hash of a packing, to which the words of all rows are added in order."""
    return hashlib.blake2b(str(packing.to_config()).encode(), digest_size=16)
