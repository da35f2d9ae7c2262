from collections.abc import Callable
from pathlib import Path

import pytest

from keras_smes.data.datasets import fake_kuairand
from keras_smes.data.datasets.fake_kuairand import write_made_up_kuairand
from keras_smes.data.datasets.kuairand import load_kuairand


def test_is_read_as_a_real_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_kuairand, "_BLOCK_ROWS", 300)
    data = load_kuairand("1k", write_made_up_kuairand(tmp_path, 1001, variant="1k", parts=2))
    assert data.counts["rows_read"] == pytest.approx(1001 * 1.05, abs=8)
    assert data.counts["exact_duplicates"] > 10
    assert data.counts["repeated_impressions"] > 5
    assert data.counts["rows_without_user"] > 0
    assert data.split_dates is not None
    assert all(0 < labels.mean() < 1 for labels in data.labels().values())


def test_the_same_seed_writes_the_same(tmp_path: Path, write_random_release: Callable[..., Path]) -> None:
    one, same, other = (
        write_random_release(tmp_path / name, 50, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    name = "log_standard_4_22_to_5_08_pure.csv"
    logs = [(folder / "data" / name).read_text() for folder in (one, same, other)]
    assert logs[0] == logs[1] != logs[2]


def test_bad_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows=0"):
        write_made_up_kuairand(tmp_path, 0)
