"""A run goes on with another engine as on one device: grown, in the same weights and optimizer's state."""

import numpy as np
import pytest
from support.distributed_runs import CONFIG, assert_same_outcome, command, figures, write_config
from support.processes import TRAIN, TWO_CPUS, TWO_CPUS_ON_JAX, Process, killed_at_the_end, start_cluster

from keras_smes.cli import main
from keras_smes.distribution import DistributionConfig
from keras_smes.distribution.parameter_servers import ParameterServerEngine
from keras_smes.incremental import validate_progressively
from keras_smes.training import RunConfig
from keras_smes.training.fit import fit_ranker

pytestmark = pytest.mark.tensorflow
pytest.importorskip("jax")

CHANGES = {
    "experts": {**CONFIG["experts"], "num_experts": 6},
    "optimizer": {"name": "adam", "learning_rate": 0.005, "schedule": "constant"},
    "training": {**CONFIG["training"], "epochs": 1},
}


def arguments(folder, first, **engine):
    folder.mkdir()
    config = write_config(folder, distribution=engine, **CHANGES)
    return command(config, folder / "run", "--from", first)


@pytest.fixture(scope="module")
def runs(single, tmp_path_factory):
    """Runs that go on from that of one device, by engine, all at the same time."""
    folder = tmp_path_factory.mktemp("going_on")

    def of(name):
        return arguments(folder / name, single, engine=name)

    processes = {
        "mirrored": Process(TWO_CPUS + TRAIN, of("mirrored"), folder / "mirrored.log"),
        "data_parallel": Process(TRAIN, of("data_parallel"), folder / "data_parallel.log", **TWO_CPUS_ON_JAX),
        **start_cluster(TRAIN, of("multi_worker"), folder / "logs", worker=2),
    }
    with killed_at_the_end(processes):
        assert main([str(part) for part in of("single")]) == 0
        for process in processes.values():
            assert process.wait() == 0, process.output
    return {name: folder / name / "run" for name in ("single", "mirrored", "data_parallel", "multi_worker")}


@pytest.mark.parametrize("engine", ["mirrored", "data_parallel", "multi_worker"])
def test_it_goes_on_as_on_one_device(runs, engine):
    run, reference = runs[engine], runs["single"]
    training, start = figures(run)["training"], figures(run)["start"]
    assert (training["engine"], training["replicas"]) == (engine, 2)
    assert start == figures(reference)["start"]
    assert (start["first_step"], start["new"]["experts"]) == (52, 2)
    assert_same_outcome(run, reference)
    # The next run may go on from it, on whatever engine.
    ours, theirs = (dict(np.load(each / "training.npz")) for each in (run, reference))
    assert ours.keys() == theirs.keys()
    assert int(ours["steps"]) == 52 + 26
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=0, atol=1e-5, err_msg=name)


def test_shards_can_not_go_on():
    engine = ParameterServerEngine.__new__(ParameterServerEngine)  # refused before any server is asked
    with pytest.raises(ValueError, match="Received: engine='parameter_server'"):
        fit_ranker(RunConfig.from_dict(CONFIG), None, engine=engine, start=object())


def test_day_by_day_is_for_one_process(tmp_path):
    for name in ("multi_worker", "parameter_server"):
        config = RunConfig("simulated", distribution=DistributionConfig(name))
        with pytest.raises(ValueError, match=f"Received: engine='{name}'"):
            validate_progressively(config, tmp_path)
