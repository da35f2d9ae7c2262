from __future__ import annotations

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from keras_smes_serving.server.models.versions import aspired_versions, version_directories


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


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", [12]),
        ("latest {}", [12]),
        ("latest { num_versions: 2 }", [3, 12]),
        ("latest { num_versions: 9 }", [0, 1, 3, 12]),
        ("all {}", [0, 1, 3, 12]),
        ("specific { versions: 3 versions: 1 versions: 7 }", [1, 3]),
        ("specific {}", []),
    ],
)
def test_a_policy_picks_versions(tmp_path, policy, expected):
    for version in (0, 1, 3, 12):
        (tmp_path / str(version)).mkdir()
    config = text_format.Parse(f"model_version_policy {{ {policy} }}", ModelConfig())
    assert list(aspired_versions(tmp_path, config.model_version_policy)) == expected


def test_a_base_path_that_is_away_says_nothing(tmp_path):
    assert aspired_versions(tmp_path / "missing", ModelConfig().model_version_policy) is None
