"""The run on one device that all engines are held against."""

import keras
import pytest

pytest.importorskip("polars", reason='needs the extra "data"')

from support.distributed_runs import command, write_config

from keras_smes.cli import main


@pytest.fixture(scope="session")
def single(tmp_path_factory):
    """The run on one device."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("trains on TensorFlow")
    folder = tmp_path_factory.mktemp("single")
    assert main([str(part) for part in command(write_config(folder), folder / "run")]) == 0
    return folder / "run"
