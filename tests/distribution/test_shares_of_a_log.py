"""Two workers train on one log on disk: each reads its share of the rows, together they are one process."""

import json
from pathlib import Path

import pytest
from support.distributed_runs import CONFIG, assert_same_outcome, figures
from support.made_up_log import write_feed
from support.processes import Process, killed_at_the_end, start_cluster

from keras_smes.data import load_rows

pytestmark = pytest.mark.tensorflow

# Trains in small groups, and says how many bytes of which file it has read.
COUNTED = """
import json, sys
from collections import Counter
from keras_smes.cli import main
from keras_smes.training.input import order, packed_rows

order.BLOCK_ROWS, order.GROUP_BLOCKS = 4, 32
read, found = packed_rows.RowsOnDisk.read, Counter()

def counted(self, file, rows, out):
    found[str(self.path)] += out.nbytes
    return read(self, file, rows, out)

packed_rows.RowsOnDisk.read = counted
code = main(sys.argv[1:])
print("read", json.dumps(found))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a log that is kept on disk, and a run's configuration."""
    folder = tmp_path_factory.mktemp("shares")
    config = {
        **{name: CONFIG[name] for name in ("experts", "encoder", "optimizer")},
        "memory": "10KB",
        "training": {"epochs": 2, "batch_size": 64, "monitor_rows": 0},
    }
    write_feed(folder)
    (folder / "run.json").write_text(json.dumps(config))
    return folder


def arguments(folder, out):
    return ["train", "--data", folder / "feed.yaml", "--config", folder / "run.json", "--out", out]


def bytes_read(process):
    """Of the training rows, whose file is the largest."""
    (line,) = (line for line in process.output.splitlines() if line.startswith("read "))
    found = json.loads(line.removeprefix("read "))
    training = max(found, key=lambda path: Path(path).stat().st_size)
    return found[training], Path(training).stat().st_size


def test_two_workers_read_half_of_a_log_each(folder, monkeypatch):
    monkeypatch.setenv("KERAS_SMES_CACHE", str(folder / "cache"))
    alone = Process(COUNTED, arguments(folder, folder / "single"), folder / "alone.log")
    with killed_at_the_end({"alone": alone}):
        assert alone.wait() == 0, alone.output
    processes = start_cluster(COUNTED, arguments(folder, folder / "two"), folder / "logs", worker=2)
    with killed_at_the_end(processes):
        for process in processes.values():
            assert process.wait() == 0, process.output
    whole, size = bytes_read(alone)
    assert whole == 2 * size  # two epochs
    rows = figures(folder / "single")["training"]["rows"]
    # 16 lanes of 4 rows are dealt out; what is left over is read by both.
    dealt = rows // 64 * 64
    assert 0 < dealt < rows < len(load_rows(str(folder / "feed.yaml")))
    for process in processes.values():
        own, _ = bytes_read(process)
        assert own == 2 * (dealt // 2 + rows - dealt) * size // rows
    assert figures(folder / "two")["training"]["replicas"] == 2
    assert_same_outcome(folder / "two", folder / "single")
