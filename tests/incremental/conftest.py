"""A small log of six days, and a run on its first three, to go on from."""

import dataclasses
import datetime

import pytest

pytest.importorskip("polars", reason='needs the extra "data"')

from keras_smes.data import simulate, with_statistics
from keras_smes.training import EncoderConfig, OptimizerConfig, RunConfig, RunOptions, TrainingConfig
from keras_smes.training.runs import RunRows, train_rows

OPTIONS = {"rows": 6000, "users": 120, "videos": 150, "days": 6, "seed": 3}
CONFIG = RunConfig(
    "simulated",
    OPTIONS,
    experts={"num_experts": 6, "num_shared": 2, "expert_units": (8, 4)},
    encoder=EncoderConfig((16,)),
    tower_units=(4,),
    optimizer=OptimizerConfig(schedule="constant", embeddings="rowwise_adagrad"),
    training=TrainingConfig(epochs=2, batch_size=64),
)


@pytest.fixture(scope="session")
def log():
    """The rows, with the two tasks `click` and `like`."""
    data = simulate(**OPTIONS)
    return with_statistics(dataclasses.replace(data, tasks=(data.tasks[0], data.tasks[2])))


@pytest.fixture(scope="session")
def day(log):
    """The n-th date of the log."""
    first = log.dates()[0]
    return lambda number: first + datetime.timedelta(days=number)


@pytest.fixture(scope="session")
def run(log, day, tmp_path_factory):
    """A finished run."""
    out = tmp_path_factory.mktemp("incremental") / "first"
    rows = RunRows(log.between(None, day(2)), None, log.between(day(3), day(3)), {})
    train_rows(CONFIG, rows, out, RunOptions(verbose=0))
    return out
