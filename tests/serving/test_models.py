from __future__ import annotations

import shutil

import pytest

from keras_smes.serving.models import Model, version_directories


def test_versions_are_numeric_directories_in_rising_order(base_path):
    found = version_directories(base_path)
    assert list(found) == [9, 123]
    assert found[123].name == "00000123"


@pytest.mark.parametrize("name", ["v1", "1.0", "-1", "1e3", "", "٣", str(2**63)])
def test_other_names_are_no_versions(tmp_path, name):
    (tmp_path / name).mkdir(exist_ok=True)
    assert version_directories(tmp_path) == {}


def test_a_base_path_that_is_missing_has_no_versions(tmp_path):
    assert version_directories(tmp_path / "missing") == {}


def test_a_version_without_its_variables_is_not_served(base_path, tmp_path):
    shutil.copytree(base_path / "9", tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "variables")
    with pytest.raises(RuntimeError, match=r"Can't load version 1 of model ranker"):
        Model("ranker", tmp_path)


def test_a_model_needs_a_name(base_path):
    with pytest.raises(ValueError, match=r"`model_name` must not be empty"):
        Model("", base_path)
