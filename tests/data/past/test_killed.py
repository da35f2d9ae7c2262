"""Storing and counting killed at random moments: what is left is never taken for whole."""

from pathlib import Path

import numpy as np
import polars as pl
from support.made_up_log import write_feed
from support.processes import Process, run

from keras_smes.data import Log, load_log, split_with_statistics

PROGRAM = """
import os, signal, sys, threading, time
from keras_smes.data import Log, split_with_past, store_log
from keras_smes.data.log import store
yaml, cache, out, delay = sys.argv[1:]
store.CHUNK_ROWS = 50  # many steps
start = time.monotonic()
if delay:
    threading.Timer(float(delay), os.kill, (os.getpid(), signal.SIGKILL)).start()
parts = split_with_past(store_log(Log.read(yaml), cache, part_rows=60), verbose=0)
took = time.monotonic() - start
parts.train.read().frame.write_parquet(out + "-train.parquet")
parts.test.read().frame.write_parquet(out + "-test.parquet")
print(took, flush=True)
os._exit(0)
"""


def run_program(yaml: Path, cache: Path, delay: float | None = None) -> Process:
    return run(PROGRAM, (yaml, cache, cache, "" if delay is None else delay), yaml.with_name("log.txt"))


def test_what_a_killed_process_leaves_is_never_taken_for_whole(tmp_path: Path) -> None:
    yaml = write_feed(tmp_path / "feed")
    whole = run_program(yaml, tmp_path / "whole")
    assert whole.wait() == 0, whole.output
    took = float(whole.output.split()[-1])
    killed = 0
    for share in np.random.default_rng().uniform(0, 1, 4):
        killed += run_program(yaml, tmp_path / "cache", share * took).wait() == -9
    assert killed >= 1
    assert run_program(yaml, tmp_path / "cache").wait() == 0
    expected = split_with_statistics(load_log(Log.read(yaml)))
    for name in ("train", "test"):
        frame = getattr(expected, name).frame
        assert pl.read_parquet(f"{tmp_path / 'cache'}-{name}.parquet").equals(frame)
    assert not list((tmp_path / "cache").rglob("scratch"))
