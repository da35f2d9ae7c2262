"""The former place of `keras_smes.experiments.intervals`, for code that calls it with its old arguments."""

import warnings
from collections.abc import Sequence

from keras_smes.experiments import intervals


def paired_difference(
    values: Sequence[float], reference: Sequence[float], samples: int | None = None, seed: int | None = None
) -> intervals.Difference:
    """As `intervals.paired_difference`, a t interval, which draws no samples and so needs no seed."""
    if samples is not None or seed is not None:
        warnings.warn("`samples` and `seed` have no effect: intervals are Student's", DeprecationWarning, 2)
    return intervals.paired_difference(values, reference)
