"""All metrics of a binary task in one pass over sorted rows, with 12 bytes of memory per row.

A row is one 64-bit integer: its user, its score and its label, in this order of significance. Sorted, the
rows of a user are neighbours in the order of their scores. The lower halves, sorted again, are in the order
of scores over all rows. Integers sort in a fraction of the time and memory of row numbers by columns.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_smes.metrics.calibration import (
    ReliabilityCurve,
    bins_of_equal_width,
    curve_of_sums,
    error_of_sums,
    sums_of_bins,
)
from keras_smes.metrics.ranking import ByUser, GroupedResult, log_loss_of_rows, pairs_of_sorted
from keras_smes.metrics.rows import BINARY, PROBABILITY, WEIGHT, Vector, counted, opens_group, ratio

CHUNK_ROWS = 2**20
BINS = 10
_LOW = 31  # bits of a score in [0, 1], which as an integer is below 2**30, and of a label


class BinaryMetrics(NamedTuple):
    """Metrics of a binary task, as the functions of their names return them."""

    auc: float
    gauc: GroupedResult  # by impressions
    log_loss: float
    predicted_over_observed: float
    calibration_error: float  # ten bins of equal width
    calibration: ReliabilityCurve  # ten bins of equal mass
    positives: int  # rows with label 1


def binary_metrics(labels: ArrayLike, scores: ArrayLike, user_n: NDArray[np.int64]) -> BinaryMetrics:
    """Computes the metrics of a binary task; AUC and GAUC are exact, none depends on the order of rows.

    Args:
        labels: `[N]`, each 0 or 1.
        scores: `[N]`, probabilities of label 1; taken as float32, as rankers give them.
        user_n: `[N]`, the number of each row's user, see `number_ids`.
    """
    keys = _packed(np.asarray(labels), np.asarray(scores), user_n)
    keys.sort()
    grouped = _within_users(keys)
    lower = (keys & (2**_LOW - 1)).astype(np.uint32)
    del keys
    lower.sort()
    sums = _Sums(len(lower))
    for own in _chunks(lower, 1):
        sums.add(*_unpacked(lower[own]))
    return sums.result(grouped)


class _Sums:
    """Sums over rows that come in the order of their scores, those of equal scores together."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.rows = self.positives = self.won_twice = 0
        self.loss = self.predicted = 0.0
        self.by_width, self.by_mass = np.zeros((3, BINS)), np.zeros((3, BINS))

    def add(self, label_n: Vector, score_n: Vector) -> None:
        first_g = np.flatnonzero(opens_group(score_n))  # g: groups of rows with one score
        rows_g = np.diff(first_g, append=len(score_n))
        positives_g = np.add.reduceat(label_n, first_g)
        negatives_g = rows_g - positives_g
        below_g = self.rows - self.positives + np.cumsum(negatives_g) - negatives_g
        # Whole numbers below 2**53: exact.
        self.won_twice += int((positives_g * (2 * below_g + negatives_g)).sum())
        mass_g = np.floor((self.rows + first_g) / self.num_rows * BINS).astype(np.intp)
        ones_n = np.ones(len(label_n))
        self.by_mass += sums_of_bins(label_n, score_n, ones_n, np.repeat(mass_g, rows_g), BINS)
        self.by_width += sums_of_bins(label_n, score_n, ones_n, bins_of_equal_width(score_n, BINS), BINS)
        self.loss += float(log_loss_of_rows(label_n, score_n).sum())
        self.predicted += float(score_n.sum())
        self.positives += int(positives_g.sum())
        self.rows += len(label_n)

    def result(self, grouped: GroupedResult) -> BinaryMetrics:
        pairs = 2 * self.positives * (self.rows - self.positives)
        return BinaryMetrics(
            auc=float(ratio(self.won_twice, pairs)),
            gauc=grouped,
            log_loss=float(ratio(self.loss, self.rows)),
            predicted_over_observed=float(ratio(self.predicted, self.positives)),
            calibration_error=float(error_of_sums(self.by_width)),
            calibration=curve_of_sums(self.by_mass),
            positives=self.positives,
        )


def _packed(label_n: NDArray[Any], score_n: NDArray[Any], user_n: NDArray[np.int64]) -> NDArray[np.uint64]:
    keys = np.empty(len(label_n), np.uint64)
    for start in range(0, len(keys), CHUNK_ROWS):
        own = slice(start, start + CHUNK_ROWS)
        counted(labels=(label_n[own], BINARY), scores=(score_n[own], PROBABILITY), weights=(None, WEIGHT))
        bits = (score_n[own].astype(np.float32) + np.float32(0)).view(np.uint32)  # -0 becomes 0
        keys[own] = (user_n[own] + 1).astype(np.uint64) << _LOW
        keys[own] |= bits.astype(np.uint64) << 1 | label_n[own].astype(np.uint64)
    return keys


def _unpacked(lower: NDArray[np.uint32]) -> tuple[Vector, Vector]:
    """Returns labels and scores."""
    return (lower & 1).astype(np.float64), (lower >> 1).view(np.float32).astype(np.float64)


def _chunks(keys: NDArray[Any], shift: int) -> Iterator[slice]:
    """Yields slices of sorted keys, cut only where the key without its last bits changes."""
    start = 0
    while start < len(keys):
        last = keys[min(start + CHUNK_ROWS, len(keys)) - 1] >> shift
        end = int(np.searchsorted(keys, (last + 1) << shift))
        yield slice(start, end)
        start = end


def _within_users(keys: NDArray[np.uint64]) -> GroupedResult:
    unknown = int(np.searchsorted(keys, np.uint64(1) << _LOW))
    known = keys[unknown:]
    parts = [_pairs(known[own]) for own in _chunks(known, _LOW)] or [_pairs(known)]
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ByUser(*columns).averaged("impressions", unknown)


def _pairs(keys: NDArray[np.uint64]) -> ByUser:
    label_n, score_n = _unpacked((keys & (2**_LOW - 1)).astype(np.uint32))
    return pairs_of_sorted(label_n, score_n, np.ones(len(keys)), keys >> _LOW)
