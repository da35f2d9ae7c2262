"""A chief, workers and two parameter servers: one worker is one device; what is lost comes back."""

import json

import numpy as np
import pytest
from support.distributed_runs import assert_same_outcome, command, figures, weights, write_config
from support.processes import TRAIN, killed_at_the_end, start_cluster, wait_until

from keras_smes.cli import main

pytestmark = pytest.mark.tensorflow


def servers(folder, out, workers):
    arguments = command(write_config(folder), out, "--checkpoint-minutes", "0")
    return start_cluster(TRAIN, arguments, folder / "logs", ps=2, worker=workers, chief=1)


def test_a_server_lost_and_restored_from_the_checkpoint(single, tmp_path, capsys):
    out = tmp_path / "run"
    checkpoints = out / "checkpoints"
    with killed_at_the_end(servers(tmp_path, out, workers=1)) as processes:
        chief = processes["chief", 0]
        wait_until(lambda: len(list(checkpoints.glob("step-*.npz"))) == 2, "checkpoints")
        processes["ps", 1].kill()
        assert chief.wait() == 2, chief.output
        assert "connection to a parameter server was lost" in chief.output
    assert not (out / "metrics.json").exists()

    # Its tables are in shards: no state for a model on one device.
    assert main([str(part) for part in command(tmp_path / "run.json", out)]) == 2
    assert "['engine', 'table_shards']" in capsys.readouterr().err

    with killed_at_the_end(servers(tmp_path, out, workers=1)) as processes:
        chief = processes["chief", 0]
        assert chief.wait() == 0, chief.output
    # One worker takes the steps of one device, whether disturbed or not.
    assert figures(out)["training"]["engine"] == "parameter_server"
    assert_same_outcome(out, single)


def test_a_lost_worker_leaves_its_steps_to_the_other(single, tmp_path):
    out = tmp_path / "run"
    with killed_at_the_end(servers(tmp_path, out, workers=2)) as processes:
        chief, folder = processes["chief", 0], out / "checkpoints"
        wait_until(lambda: len(list(folder.glob("step-*.npz"))) == 2, "checkpoints")
        processes["worker", 1].kill()
        assert chief.wait() == 0, chief.output
    # Asynchronous: near the weights of one device, and not the same.
    history = figures(out)["history"]
    assert history["loss"][-1] == pytest.approx(figures(single)["history"]["loss"][-1], rel=0.02)
    assert history["loss"][-1] < history["loss"][0]
    assert all(np.isfinite(values).all() for values in weights(out))


def test_tables_are_cut_over_the_servers():
    from keras_smes.distribution.sharded_embedding import ShardedEmbedding

    table = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
    sharded = ShardedEmbedding(7, 3, shards=2)
    ids = np.array([[0, 6], [3, 4], [3, 1]], "int32")
    sharded.build(ids.shape)
    sharded.set_table(table)
    assert [shard.embeddings.shape[0] for shard in sharded.shards] == [4, 3]
    np.testing.assert_array_equal(sharded(ids), table[ids])
    np.testing.assert_array_equal(sharded.get_table(), table)
    again = ShardedEmbedding.from_config(json.loads(json.dumps(sharded.get_config())))
    assert len(again.shards) == 2
