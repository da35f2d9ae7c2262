"""A tf.data service of real processes: the batches of a plan, to the bit, whoever makes them."""

import socket

import numpy as np
import pytest
from support.code_blocks import ROOT, commands
from support.distributed_runs import assert_same_outcome, command, write_config
from support.processes import TRAIN, TWO_CPUS, Process, free_ports, killed_at_the_end, wait_until

from keras_smes.cli import main
from keras_smes.distribution import LostProcessError
from keras_smes.training import RunOptions
from keras_smes.training.input.data_service import ServedPlan, in_order
from keras_smes.training.input.packed_rows import RowsInMemory, RowsOnDisk
from keras_smes.training.input.packing import Packing
from keras_smes.training.input.plan import StepPlan

pytestmark = pytest.mark.tensorflow

GUIDE = ROOT / "docs" / "guides" / "machines.md"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The address of a dispatcher with two workers, started as the guide of several machines does."""
    logs = tmp_path_factory.mktemp("service")
    dispatcher, worker = (words[2] for words in commands(GUIDE.read_text()) if words[:2] == ["python", "-c"])
    port, *ports = free_ports(3)
    processes = {port: Process(dispatcher, (port,), logs / "dispatcher")}
    for own in ports:
        arguments = (f"localhost:{port}", f"localhost:{own}")
        processes[own] = Process(worker, arguments, logs / f"worker{own}")
    with killed_at_the_end(processes):
        for number in processes:
            wait_until(lambda number=number: listens(number), f"port {number}")
        yield f"grpc://localhost:{port}"


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module", params=["memory", "disk"])
def plan(request, tmp_path_factory):
    rng = np.random.default_rng(0)
    rows = {"id": np.arange(2000), "x": rng.normal(size=(2000, 3)).astype("float32")}
    parts = rows, {"y": rows["x"][:, 0]}, {}
    if request.param == "memory":
        return StepPlan(RowsInMemory(parts), batch_size=63, seed=7)
    path, packing = tmp_path_factory.mktemp("rows") / "rows.words", Packing.of(parts)
    packing.pack(parts).tofile(path)
    return StepPlan(RowsOnDisk(path, packing, 2000), batch_size=63, seed=7)


def served(plan, service, epochs):
    return ServedPlan(plan.rows, plan.batch_size, plan.seed, epochs, service)


def arrays(batches):
    return [
        [{name: np.array(values) for name, values in part.items()} for part in batch] for batch in batches
    ]


@pytest.mark.parametrize("piece", [(0, 1), (1, 2)])
def test_the_batches_and_their_order_are_those_of_one_process(plan, service, piece):
    """From the middle of an epoch on, as a resumed training begins, to the end of another."""
    ours = served(plan, service, epochs=2)
    for epoch, first in ((0, 30), (1, 0)):
        expected = arrays(plan.epoch(epoch, first, piece))
        np.testing.assert_equal(arrays(ours.epoch(epoch, first, piece)), expected)
        assert len(expected) == plan.steps - first


def test_a_training_is_the_same(single, service, tmp_path):
    config = write_config(tmp_path, distribution={"engine": "mirrored"})
    arguments = command(config, tmp_path / "run", "--data-service", service)
    process = Process(TWO_CPUS + TRAIN, arguments, tmp_path / "log")
    with killed_at_the_end({"process": process}):
        assert process.wait() == 0, process.output
    assert_same_outcome(tmp_path / "run", single)


def test_numbers_that_come_early_wait():
    assert list(in_order([(4, "e"), (3, "d"), (6, "g"), (5, "f")], 3, 7)) == ["d", "e", "f", "g"]
    assert list(in_order([], 7, 7)) == []
    with pytest.raises(LostProcessError, match="batch 4 of 6 is missing"):
        list(in_order([(3, "d"), (5, "f")], 3, 6))
    endless = ((number, "") for number in range(1, 10**9))
    with pytest.raises(LostProcessError, match="batch 0 of"):
        list(in_order(endless, 0, 10**9))


def test_refusals(tmp_path, capsys):
    with pytest.raises(ValueError, match="Received: data_service='localhost:5050'"):
        RunOptions(data_service="localhost:5050")
    arguments = command(write_config(tmp_path), tmp_path / "run", "--data-service", "grpc://localhost:1")
    assert main([str(part) for part in arguments]) == 2
    assert "Received: engine='single'" in capsys.readouterr().err
