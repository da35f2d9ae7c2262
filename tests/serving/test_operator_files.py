from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

FOLDER = Path(__file__).parents[2] / "serving"


def test_models_config_is_what_tensorflow_serving_reads():
    text = (FOLDER / "models.config").read_text()
    config = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    assert [(model.name, model.base_path, model.model_platform) for model in config] == [
        ("smes", "/models/smes", "tensorflow")
    ]
    assert config[0].model_version_policy.latest.num_versions == 1
