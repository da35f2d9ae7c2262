"""Stored interactions to batches, a few parts in memory at a time, in an order that can be had again.

The order of an epoch is a function of the seed and the epoch alone. Parts are put in a random order and
read a few together, a chunk, whose rows are then shuffled: rows that are near in time come apart as far
as parts do, and the memory is that of a chunk.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from keras_smes.checks import check_count
from keras_smes.data.cache import cached
from keras_smes.data.packing import Arrays, Packing
from keras_smes.data.progress import track
from keras_smes.data.stored import Part, StoredInteractions

# From raw columns and label columns to what a model is trained on, such as `(features, targets, weights)`.
Prepare = Callable[[Arrays, Arrays], tuple[Arrays, ...]]
Matrices = dict[str, np.ndarray]

FORMAT = 2  # of prepared files; another number makes them anew
CHUNK_PARTS = 4


class Stream:
    """The batches of stored interactions, epoch by epoch.

    Args:
        stored: The rows.
        batch_size: Rows a batch; the last one of an epoch may have fewer.
        prepare: Makes a tuple of dicts of arrays from `(columns, labels)` of a few parts. `None`, the
            default, leaves the two as they are. It is tried on a single row first.
        chunk_parts: Parts that are in memory, and shuffled, together. Defaults to `4`.

    Example:

    >>> batches = Stream(parts.train, batch_size=512)
    >>> for epoch in range(3):
    ...     model.fit(batches.epoch(epoch, seed=1))
    """

    def __init__(
        self,
        stored: StoredInteractions,
        batch_size: int,
        prepare: Prepare | None = None,
        chunk_parts: int = CHUNK_PARTS,
    ) -> None:
        self.stored = stored
        self.batch_size = check_count("batch_size", batch_size)
        self.chunk_parts = check_count("chunk_parts", chunk_parts)
        self._prepare = prepare or (lambda columns, labels: (columns, labels))
        row = stored.scan(stored.parts[:1]).head(1).collect()
        one = dataclasses.replace(stored.roles, frame=row)
        self._packing = Packing(self._prepare(one.columns(), one.labels()))
        self._prepared: Path | None = None

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return math.ceil(len(self.stored) / self.batch_size)

    def store(self, recipe: Mapping[str, Any], verbose: int = 1) -> None:
        """Prepares all parts now and keeps them as files, so that epochs read what is prepared already.

        Args:
            recipe: JSON values that decide what `prepare` makes of the rows, such as the configuration of a
                fitted schema: files of the same recipe and of the same rows are used again.
            verbose: `0` shows no progress, `1` a bar. Defaults to `1`.
        """
        places = {dtype: [list(place[:2]) for place in own] for dtype, own in self._packing.places.items()}
        stored = self.stored
        whole = {
            "format": FORMAT,
            "prepare": dict(recipe),
            "places": places,
            "rows": stored.fingerprint(),
            "schema": stored.roles.schema.to_config(),
        }
        self._prepared, _ = cached(stored.folder, "prepared", whole, lambda out: self._write(out, verbose))

    def _write(self, out: Path, verbose: int) -> dict[str, int]:
        for part in track(self.stored.parts, "Preparing rows", verbose):
            for dtype, matrix in self._made([part]).items():
                _save(out / part.name, dtype, matrix)
        return {"rows": len(self.stored)}

    def _made(self, parts: list[Part]) -> Matrices:
        rows = self.stored.read(parts)
        return self._packing.pack(self._prepare(rows.columns(), rows.labels()))

    def _matrices(self, parts: list[Part]) -> Matrices:
        """Returns the rows of parts, packed."""
        if self._prepared is None:
            return self._made(parts)
        return {
            dtype: np.concatenate([_load(self._prepared / part.name, dtype) for part in parts])
            for dtype in self._packing.places
        }

    def chunks(self, epoch: int = 0, seed: int | None = None, first_step: int = 0) -> Iterator[Matrices]:
        """Yields the rows of an epoch a chunk at a time, packed: see `Packing`.

        Args:
            epoch: Number of the epoch; another one has another order. Defaults to `0`.
            seed: Seed of the order. `None`, the default, keeps the order of time.
            first_step: The batch to begin with, as if those before had been read; chunks are not read in
                vain. Defaults to `0`.
        """
        check_count("epoch", epoch, minimum=0)
        skip = check_count("first_step", first_step, minimum=0) * self.batch_size
        for number, parts in enumerate(self._chunk_order(epoch, seed)):
            size = sum(map(self.stored.count, parts))
            skipped = min(skip, size)
            skip -= skipped
            if skipped < size:
                order = np.arange(size)
                if seed is not None:
                    order = np.random.default_rng((seed, epoch, number)).permutation(size)
                matrices = self._matrices(parts)
                yield {dtype: matrix[order[skipped:]] for dtype, matrix in matrices.items()}

    def _chunk_order(self, epoch: int, seed: int | None) -> list[list[Part]]:
        parts = list(self.stored.parts)
        if seed is not None:
            parts = [parts[k] for k in np.random.default_rng((seed, epoch)).permutation(len(parts))]
        starts = range(0, len(parts), self.chunk_parts)
        # Within a chunk in order of time, as they are read.
        return [sorted(parts[k : k + self.chunk_parts], key=lambda part: part.name) for k in starts]

    def epoch(self, epoch: int = 0, seed: int | None = None, first_step: int = 0) -> Any:
        """Makes a `tf.data.Dataset` of the batches of one epoch; needs TensorFlow.

        The next chunk is read and prepared while batches of the last one are trained on.

        Args:
            epoch: As for `chunks`. Defaults to `0`.
            seed: As for `chunks`. Defaults to `None`.
            first_step: As for `chunks`. Defaults to `0`.

        Returns:
            The data set, of tuples of dicts as `prepare` makes them.
        """
        import tensorflow as tf

        signature = {
            dtype: tf.TensorSpec((None, sum(widths)), tf.string if dtype == "object" else dtype)
            for dtype, widths in self._packing.widths.items()
        }
        chunks = tf.data.Dataset.from_generator(
            lambda: self.chunks(epoch, seed, first_step), output_signature=signature
        )
        # Cut by TensorFlow: a step through Python a batch would be slower than many models.
        batches = chunks.prefetch(1).rebatch(self.batch_size)
        return batches.map(self._packing.unpack, num_parallel_calls=2, deterministic=True).prefetch(4)


def _save(path: Path, dtype: str, matrix: np.ndarray) -> None:
    """Writes a matrix of a part; strings as Parquet, since NumPy would pickle them."""
    if dtype != "object":
        np.save(f"{path}.{dtype}.npy", matrix, allow_pickle=False)
        return
    columns = {str(number): values.tolist() for number, values in enumerate(matrix.T)}
    try:
        strings = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"`prepare` must make arrays of numbers or of str. Received: {error}") from error
    strings.write_parquet(f"{path}.strings.parquet")


def _load(path: Path, dtype: str) -> np.ndarray:
    if dtype == "object":
        return pl.read_parquet(f"{path}.strings.parquet").to_numpy()
    matrix: np.ndarray = np.load(f"{path}.{dtype}.npy", allow_pickle=False)
    return matrix
