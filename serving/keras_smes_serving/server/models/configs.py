"""Validation of the model configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from keras_smes_serving.protocol.errors import reject
from keras_smes_serving.server.messages import ModelConfig, ModelConfigList, ModelServerConfig

PLATFORM = "tensorflow"


def single_model(name: str, base_path: str | os.PathLike[str]) -> ModelServerConfig:
    """Returns the config of one model, as `--model_name` and `--model_base_path` do."""
    base_path = os.fspath(base_path)
    if "://" not in base_path:
        base_path = os.path.abspath(base_path)
    config = ModelConfig(name=name, base_path=base_path, model_platform=PLATFORM)
    return ModelServerConfig(model_config_list=ModelConfigList(config=[config]))


def check_models(configs: Iterable[ModelConfig]) -> None:
    """Validates a list of models.

    Raises:
        ServingError: INVALID_ARGUMENT: a name is repeated, a path is relative, or a platform is missing or
            isn't TensorFlow.
    """
    seen: set[str] = set()
    for config in configs:
        if config.name in seen:
            reject(f"Illegal to list model {config.name} multiple times in config list")
        seen.add(config.name)
    for config in configs:
        if not re.match(r"/|[A-Za-z][A-Za-z0-9.]*://", config.base_path):
            reject(
                f"Expected model {config.name} to have an absolute path or URI; got "
                f"base_path()={config.base_path}"
            )
    for config in configs:
        if (platform := model_platform(config)) != PLATFORM:
            reject(f"Model {config.name} requests unsupported platform {platform}")


def model_platform(config: ModelConfig) -> str:
    """Returns the platform of a model, from the current or the deprecated field.

    Raises:
        ServingError: INVALID_ARGUMENT: both fields are set, or neither, or the deprecated one is unsupported.
    """
    if not config.model_type and not config.model_platform:
        reject(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {config.name}"
        )
    if config.model_type and config.model_platform:
        reject(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            f"ModelServerConfig::model_platform, model name is {config.name}"
        )
    if config.model_type > 1:
        reject(f"ModelServerConfig::model_type choice {config.model_type} not supported.")
    return config.model_platform or PLATFORM


def check_transition(old: Iterable[ModelConfig], new: Iterable[ModelConfig]) -> None:
    """Rejects models that change their platform."""
    before = {config.name: model_platform(config) for config in old}
    for config in new:
        if config.name in before and (platform := model_platform(config)) != before[config.name]:
            reject(
                f"Illegal to change a model's platform. For model {config.name} platform was "
                f"{before[config.name]} and new platform requested is {platform}"
            )
