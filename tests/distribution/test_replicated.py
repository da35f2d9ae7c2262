"""Replicas in step, on two devices and in two processes: one replica with the whole batch, and kills."""

import random
import time

import numpy as np
import pytest
from support.distributed_runs import assert_same_outcome, command, figures, weights, write_config
from support.processes import TRAIN, TWO_CPUS, Process, killed_at_the_end, start_cluster, wait_until

from keras_smes.cli import main

pytestmark = pytest.mark.tensorflow


def two_workers(folder, out, *options):
    arguments = command(write_config(folder), out, "--checkpoint-minutes", "0", *options)
    return start_cluster(TRAIN, arguments, folder / "logs", worker=2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    with killed_at_the_end(two_workers(folder, folder / "run")) as processes:
        for process in processes.values():
            assert process.wait() == 0, process.output
    return folder / "run"


def test_two_devices_are_one_with_the_whole_batch(single, tmp_path):
    config = write_config(tmp_path, distribution={"engine": "mirrored"})
    process = Process(TWO_CPUS + TRAIN, command(config, tmp_path / "run"), tmp_path / "log")
    with killed_at_the_end({"process": process}):
        assert process.wait() == 0, process.output
    assert figures(tmp_path / "run")["training"]["replicas"] == 2
    assert_same_outcome(tmp_path / "run", single)


def test_two_workers_are_one_with_the_whole_batch(single, undisturbed):
    training = figures(undisturbed)["training"]
    assert (training["engine"], training["replicas"]) == ("multi_worker", 2)
    assert_same_outcome(undisturbed, single)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_killed_at_any_moment(undisturbed, tmp_path, victim, capsys):
    out, moments = tmp_path / "run", random.Random(20260209 + victim)
    checkpoints = out / "checkpoints"
    with killed_at_the_end(two_workers(tmp_path, out)) as processes:
        wait_until(lambda: len(list(checkpoints.glob("step-*.npz"))) == 2, "checkpoints")
        time.sleep(moments.random() / 4)
        processes["worker", victim].kill()
        survivor = processes["worker", 1 - victim]
        assert survivor.wait() != 0
        if victim == 1:  # the first worker also coordinates: without it TensorFlow ends the others itself
            assert "connection to a worker was lost" in survivor.output
    assert not (out / "metrics.json").exists()
    assert list(checkpoints.glob("step-*.npz"))

    # One worker alone is another way to add up: refused, by name.
    arguments = [str(part) for part in command(tmp_path / "run.json", out)]
    assert main(arguments) == 2
    assert "['engine', 'replicas']" in capsys.readouterr().err

    with killed_at_the_end(two_workers(tmp_path, out)) as processes:
        for process in processes.values():
            assert process.wait() == 0, process.output
    for resumed, expected in zip(weights(out), weights(undisturbed), strict=True):
        np.testing.assert_array_equal(resumed, expected)
    assert figures(out)["history"] == figures(undisturbed)["history"]
    assert figures(out)["tasks"] == figures(undisturbed)["tasks"]


def test_what_is_not_finite_in_one_replica_stops_all(tmp_path):
    optimizer = {"name": "sgd", "embeddings": "sgd", "learning_rate": 1e30}
    config = write_config(tmp_path, distribution={"engine": "mirrored"}, optimizer=optimizer)
    process = Process(TWO_CPUS + TRAIN, command(config, tmp_path / "run"), tmp_path / "log")
    with killed_at_the_end({"process": process}):
        assert process.wait() == 2, process.output
    assert "Training stopped in epoch 1, batch 2: a loss or gradient is not finite" in process.output
