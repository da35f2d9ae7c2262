"""`describe --out` killed at random moments: the file is there whole, or not at all."""

import time

import numpy as np
import polars as pl
from support.made_up_log import write_feed
from support.processes import run_killed

from keras_smes.cli import main
from keras_smes.data import load

FILES = ["log/dt=*/part-*.parquet"]


def test_a_killed_description_leaves_a_whole_file_or_none(tmp_path):
    folder = write_feed(tmp_path).parent
    paths = [str(folder / path) for path in FILES]
    start = time.monotonic()
    assert main(["describe", *paths, "--out", str(folder / "log.yaml")]) == 0
    took = time.monotonic() - start
    whole = (folder / "log.yaml").read_text()
    before = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    rng, killed = np.random.default_rng(), 0
    while killed < 2:
        (folder / "log.yaml").unlink(missing_ok=True)
        command = ["describe", *paths, "--out", str(folder / "log.yaml")]
        is_killed = run_killed(command, rng.uniform(0, took), tmp_path / "log.txt") == -9
        killed, took = killed + is_killed, took if is_killed else took / 2  # it was faster than before
        if (folder / "log.yaml").exists():
            assert (folder / "log.yaml").read_text() == whole
    (folder / "log.yaml").unlink(missing_ok=True)
    assert main(["describe", *paths, "--out", str(folder / "log.yaml")]) == 0
    assert (folder / "log.yaml").read_text() == whole
    assert before == {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    assert len(load(str(folder / "log.yaml"))) == pl.read_parquet(paths[0]).height
