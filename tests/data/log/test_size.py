"""The estimate of a log's size, beside the rows that were read."""

import numpy as np
import polars as pl
import pytest
from support.made_up_log import write_feed

from keras_smes.data import Log, load_log
from keras_smes.data.log.size import estimated_bytes, fits_in_memory
from keras_smes.tasks import BinaryTask


def test_the_estimate_of_parquet_is_near(tmp_path):
    log = Log.read(write_feed(tmp_path))
    assert estimated_bytes(log) == pytest.approx(load_log(log).frame.estimated_size(), rel=0.5)


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_the_estimate_of_text_is_near(ending, tmp_path):
    rng = np.random.default_rng(0)
    rows = pl.DataFrame(
        {"x": rng.random(30_000), "id": rng.integers(0, 10**9, 30_000), "click": [0, 1] * 15_000}
    )
    rows.write_csv(tmp_path / f"rows{ending}", separator="\t" if ending == ".tsv" else ",")
    log = Log("log", (f"rows{ending}",), (BinaryTask("click"),), folder=tmp_path)
    assert estimated_bytes(log) == pytest.approx(rows.estimated_size(), rel=0.5)


def test_memory_is_what_it_is_held_against(tmp_path):
    rows = pl.DataFrame({"x": np.arange(10_000) % 7, "click": np.arange(10_000) % 2})
    rows.write_parquet(tmp_path / "rows.parquet")
    fits = {
        memory: fits_in_memory(
            Log("log", ("rows.parquet",), (BinaryTask("click"),), folder=tmp_path, memory=memory)
        )
        for memory in (10_000, 10**9, None)
    }
    assert fits == {10_000: False, 10**9: True, None: True}
