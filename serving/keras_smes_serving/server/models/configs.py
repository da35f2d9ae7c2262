"""The list of models that a server is told to serve: made, checked, compared."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import grpc

from keras_smes_serving.protocol.errors import ServingError
from keras_smes_serving.server.messages import ModelConfig, ModelConfigList, ModelServerConfig

PLATFORM = "tensorflow"


def single_model(name: str, base_path: str | os.PathLike[str]) -> ModelServerConfig:
    """Makes the config of one model, as `--model_name` and `--model_base_path` do.

    Args:
        name: str. The name that requests use.
        base_path: str or path. The directory with the version directories.

    Returns:
        `ModelServerConfig` message.

    Example:

    ```python
    single_model("smes", "models/smes")
    ```
    """
    base_path = os.fspath(base_path)
    if "://" not in base_path:
        base_path = os.path.abspath(base_path)
    config = ModelConfig(name=name, base_path=base_path, model_platform=PLATFORM)
    return ModelServerConfig(model_config_list=ModelConfigList(config=[config]))


def check_models(configs: Iterable[ModelConfig]) -> None:
    """Checks a list of models by itself.

    Args:
        configs: iterable of `ModelConfig` message.

    Raises:
        ServingError: INVALID_ARGUMENT: a name is given twice, a path is relative, or a platform is
            missing or isn't TensorFlow.

    Example:

    ```python
    check_models(config.model_config_list.config)
    ```
    """
    seen: set[str] = set()
    for config in configs:
        if config.name in seen:
            _refuse(f"Illegal to list model {config.name} multiple times in config list")
        seen.add(config.name)
    for config in configs:
        if not re.match(r"/|[A-Za-z][A-Za-z0-9.]*://", config.base_path):
            _refuse(
                f"Expected model {config.name} to have an absolute path or URI; got "
                f"base_path()={config.base_path}"
            )
    for config in configs:
        if (platform := model_platform(config)) != PLATFORM:
            _refuse(f"Model {config.name} requests unsupported platform {platform}")


def model_platform(config: ModelConfig) -> str:
    """Tells the platform of a model, by the field of today or the deprecated one.

    Args:
        config: `ModelConfig` message.

    Returns:
        str. Such as `"tensorflow"`.

    Raises:
        ServingError: INVALID_ARGUMENT: both fields are set, or neither, or the deprecated one to
            what isn't supported.

    Example:

    ```python
    model_platform(ModelConfig(name="smes", model_platform="tensorflow"))  # "tensorflow"
    ```
    """
    if not config.model_type and not config.model_platform:
        _refuse(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {config.name}"
        )
    if config.model_type and config.model_platform:
        _refuse(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            f"ModelServerConfig::model_platform, model name is {config.name}"
        )
    if config.model_type > 1:
        _refuse(f"ModelServerConfig::model_type choice {config.model_type} not supported.")
    return config.model_platform or PLATFORM


def check_transition(old: Iterable[ModelConfig], new: Iterable[ModelConfig]) -> None:
    """Checks that no model changes its platform.

    Args:
        old: iterable of `ModelConfig` message. The models served so far.
        new: iterable of `ModelConfig` message. Those to be served.

    Raises:
        ServingError: INVALID_ARGUMENT, if one does.

    Example:

    ```python
    check_transition(old.model_config_list.config, new.model_config_list.config)
    ```
    """
    before = {config.name: model_platform(config) for config in old}
    for config in new:
        if config.name in before and (platform := model_platform(config)) != before[config.name]:
            _refuse(
                f"Illegal to change a model's platform. For model {config.name} platform was "
                f"{before[config.name]} and new platform requested is {platform}"
            )


def _refuse(message: str) -> None:
    raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
