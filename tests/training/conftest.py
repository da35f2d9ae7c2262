"""Small simulated interactions: enough rows for every task to have both classes in both parts."""

import pytest

pytest.importorskip("polars", reason='needs the extra "data"')

from keras_smes.data import simulate, split_with_statistics


@pytest.fixture(scope="session")
def parts():
    return split_with_statistics(simulate(rows=4000, users=100, videos=150, days=6, seed=3))
