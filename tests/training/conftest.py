"""Small simulated interactions, and a trainer that is small enough to be made many times."""

import pytest

pytest.importorskip("polars", reason='needs the extra "data"')

from support.small_trainer import make_small_trainer

from keras_smes.data import simulate, split_with_statistics


@pytest.fixture(scope="session")
def parts():
    return split_with_statistics(simulate(rows=4000, users=100, videos=150, days=6, seed=3))


@pytest.fixture
def make_trainer():
    """Makes a `Trainer` of 100 rows, 13 batches an epoch; every one made alike trains alike."""
    return make_small_trainer
