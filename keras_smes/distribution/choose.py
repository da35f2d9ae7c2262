"""Selection of the engine from a configuration or `TF_CONFIG`."""

from collections.abc import Callable
from typing import Any

import keras

from keras_smes.distribution.cluster import Cluster
from keras_smes.distribution.config import DistributionConfig
from keras_smes.distribution.devices import DeviceEngine, over_batches, over_experts
from keras_smes.distribution.engine import Engine
from keras_smes.distribution.parameter_servers import ParameterServerEngine, serve_forever
from keras_smes.distribution.replicated import ReplicatedEngine


def build_engine(config: DistributionConfig) -> Engine:
    """Builds the engine that a configuration or `TF_CONFIG` names; call it before anything else.

    Args:
        config: The `DistributionConfig`.

    Returns:
        The `Engine`, which `train_run` and `FitContext` take.

    Raises:
        ValueError: The engine needs another Keras backend, more devices than available, or a `TF_CONFIG`
            that is not set.
    """
    cluster, name = Cluster.from_environment(), engine_name(config)
    if name == "single":
        return Engine()
    _check_backend(name)
    if name in ("multi_worker", "parameter_server"):
        return _OF_CLUSTER[name](_checked(cluster, name), config)
    return _OF_DEVICES[name](config)


def engine_name(config: DistributionConfig) -> str:
    """Returns the name of the engine that a configuration or `TF_CONFIG` names."""
    if config.engine != "auto":
        return config.engine
    cluster = Cluster.from_environment()
    return "single" if cluster is None else cluster.engine


def _mirrored(config: DistributionConfig) -> Engine:
    import tensorflow as tf

    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    count = _checked_count(config.devices, len(devices))
    return ReplicatedEngine("mirrored", tf.distribute.MirroredStrategy(devices[:count]))


def _multi_worker(cluster: Cluster, config: DistributionConfig) -> Engine:
    import tensorflow as tf

    return ReplicatedEngine("multi_worker", tf.distribute.MultiWorkerMirroredStrategy(), cluster.place)


def _jax_devices(config: DistributionConfig) -> list[str]:
    devices: list[str] = keras.distribution.list_devices()
    return devices[: _checked_count(config.devices, len(devices))]


_OF_DEVICES: dict[str, Callable[[DistributionConfig], Engine]] = {
    "mirrored": _mirrored,
    "data_parallel": lambda config: DeviceEngine("data_parallel", over_batches(_jax_devices(config))),
    "expert_parallel": lambda config: DeviceEngine(
        "expert_parallel", over_experts(_jax_devices(config)), over_experts=True
    ),
}


def _parameter_server(cluster: Cluster, config: DistributionConfig) -> Engine:
    if cluster.task != "chief":
        serve_forever(cluster)
    return ParameterServerEngine(cluster, config.table_shards)


_OF_CLUSTER: dict[str, Callable[[Cluster, DistributionConfig], Engine]] = {
    "multi_worker": _multi_worker,
    "parameter_server": _parameter_server,
}


def _check_backend(name: str) -> None:
    needed = "jax" if name in ("data_parallel", "expert_parallel") else "tensorflow"
    if keras.backend.backend() != needed:
        raise ValueError(
            f"Engine {name!r} needs KERAS_BACKEND={needed}. Received: backend {keras.backend.backend()!r}"
        )


def _checked(cluster: Cluster | None, name: str) -> Cluster:
    if cluster is None or cluster.engine != name:
        received: Any = None if cluster is None else dict(cluster.addresses)
        raise ValueError(f"Engine {name!r} needs TF_CONFIG to name its processes. Received: {received}")
    return cluster


def _checked_count(wanted: int | None, there: int) -> int:
    if wanted is not None and wanted > there:
        raise ValueError(
            f"`devices` must be at most {there}, the number available. Received: devices={wanted}"
        )
    return wanted or there
