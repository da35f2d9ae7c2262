import importlib
import sys
from pathlib import Path

import pytest

import keras_smes.data
from keras_smes.data import DATASETS, load, simulate


def test_the_names() -> None:
    assert DATASETS == ("kuairand-pure", "kuairand-1k", "kuairand-27k", "movielens-100k", "simulated")


def test_loads_by_name_with_options() -> None:
    assert load("simulated", rows=50, seed=2).frame.equals(simulate(rows=50, seed=2).frame)


def test_kuairand_variants_read_their_own_files(write_release) -> None:
    for variant in ("pure", "1k", "27k"):
        assert load(f"kuairand-{variant}", write_release(variant=variant)).name == f"kuairand-{variant}"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'movielens-100k'.*Received: name='criteo'"):
        load("criteo")
    with pytest.raises(ValueError, match=r"Received: name='kuairand-pur'. Did you mean 'kuairand-pure'\?"):
        load("kuairand-pur")


def test_a_folder_is_needed_or_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs `folder`"):
        load("kuairand-1k")
    with pytest.raises(ValueError, match="reads no files"):
        load("simulated", folder=tmp_path)


def test_without_polars_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    monkeypatch.delitem(sys.modules, "keras_smes.data")
    monkeypatch.setattr(sys.modules["keras_smes"], "data", keras_smes.data)  # put back after the test
    with pytest.raises(ImportError, match=r'pip install "keras_smes\[data\]"'):
        importlib.import_module("keras_smes.data")
