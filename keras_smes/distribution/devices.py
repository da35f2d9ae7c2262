"""Engines on JAX: `keras.distribution` shards batches or experts over devices."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_smes.distribution.engine import BatchPlan, SpreadEngine

BATCH, EXPERT = "batch", "expert"
# Stacked weights of an `ExpertPool`, and the optimizer state under these names.
OF_EXPERTS = r".*[/_](kernel|bias)_\d+(_.*)?"


class DeviceEngine(SpreadEngine):
    """Runs steps on several devices of the JAX backend."""

    def __init__(self, name: str, distribution: Any, over_experts: bool = False) -> None:
        self.name, self.spread, self.over_experts = name, distribution, over_experts
        self.replicas = int(distribution.device_mesh.devices.size)

    def check(self, config: Any) -> None:
        num_experts = config.experts.get("num_experts", 0)
        if self.over_experts and (num_experts == 0 or num_experts % self.replicas):
            raise ValueError(
                f"`num_experts` must be a multiple of the {self.replicas} devices of the experts. "
                f"Received: num_experts={num_experts}"
            )

    def epoch(
        self,
        model: keras.Model,
        plan: BatchPlan,
        epoch: int,
        first: int,
        callbacks: keras.callbacks.CallbackList,
    ) -> dict[str, float]:
        with self.scope():
            return super().epoch(model, plan, epoch, first, callbacks)


def expert_layout(mesh: Any, axis: str = EXPERT) -> Any:
    """Returns the layout that shards only the experts' weights over an axis of a mesh.

    Routers, towers, encoder and embeddings are replicated: XLA's partitioner derives the communication.

    Args:
        mesh: A `keras.distribution.DeviceMesh`.
        axis: The axis of the mesh. Defaults to `"expert"`.

    Returns:
        A `keras.distribution.LayoutMap`: `kernel_i [E, in, out]` and `bias_i [E, out]` by their first axis,
        and their optimizer state.
    """
    layout = keras.distribution.LayoutMap(mesh)
    layout[OF_EXPERTS] = keras.distribution.TensorLayout((axis,), mesh)
    return layout


def over_batches(devices: Sequence[str]) -> Any:
    """Returns the distribution that shards batches over devices."""

    class OverBatches(keras.distribution.DataParallel):
        def get_data_layout(self, data_shape: Sequence[int]) -> Any:
            # A last batch that doesn't divide evenly is replicated.
            spread = data_shape[0] % self.device_mesh.devices.size == 0
            axes = [BATCH if spread else None, *(None for _ in data_shape[1:])]
            return keras.distribution.TensorLayout(axes, self.device_mesh)

    return OverBatches(devices=list(devices))


def over_experts(devices: Sequence[str]) -> Any:
    """Returns the distribution that shards experts over devices; each has the whole batch."""
    mesh = keras.distribution.DeviceMesh((1, len(devices)), (BATCH, EXPERT), devices)
    return keras.distribution.ModelParallel(layout_map=expert_layout(mesh), batch_dim_name=BATCH)
