"""Parameter servers hold weights and tables, workers compute steps, a coordinator schedules batches."""

from collections.abc import Callable
from typing import Any

import keras

from keras_smes.distribution.cluster import Cluster
from keras_smes.distribution.engine import BatchPlan, check_uncompiled
from keras_smes.distribution.loop import LoopEngine
from keras_smes.distribution.sharded_embedding import ShardedEmbedding


def serve_forever(cluster: Cluster) -> None:
    """Runs a worker or a parameter server until the process is stopped."""
    import tensorflow as tf

    addresses = tf.train.ClusterSpec({kind: list(own) for kind, own in cluster.addresses.items()})
    server = tf.distribute.Server(addresses, cluster.task, cluster.index, protocol="grpc", start=True)
    server.join()


class ParameterServerEngine(LoopEngine):
    """Runs steps on asynchronous workers: a step's weights may miss the last steps of other workers.

    Variables are spread over the servers, and each embedding table is sharded; lookups and updates run on the
    server of the shard. With one worker, steps equal those of one device; with more, they differ, and are not
    reproducible. The balance loss is that of each worker's batch.
    """

    name = "parameter_server"
    OTHERS = "a parameter server"
    keeps_shapes = False

    def __init__(self, cluster: Cluster, shards: int | None = None) -> None:
        import tensorflow as tf

        self.shards = shards or len(cluster.addresses["ps"])
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver(rpc_layer="grpc")
        self.spread = tf.distribute.ParameterServerStrategy(resolver)
        self.coordinator = tf.distribute.coordinator.ClusterCoordinator(self.spread)

    def check(self, config: Any) -> None:
        check_uncompiled(self.name, config.training)

    def to_train(self, core: keras.Model) -> keras.Model:
        trained: keras.Model = keras.models.clone_model(core, clone_function=self._clone)
        for layer in core.layers:
            copy = trained.get_layer(layer.name)
            if isinstance(copy, ShardedEmbedding):
                copy.set_table(layer.get_weights()[0])
            else:
                copy.set_weights(layer.get_weights())
        return trained

    def _clone(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        if not isinstance(layer, keras.layers.Embedding):
            return layer.__class__.from_config(layer.get_config())
        kept = {"name": layer.name, "dtype": layer.dtype_policy}
        return ShardedEmbedding(layer.input_dim, layer.output_dim, self.shards, **kept)

    def hand_over(self, trained: keras.Model, core: keras.Model) -> None:
        for layer in core.layers:
            own = trained.get_layer(layer.name)
            layer.set_weights([own.get_table()] if isinstance(own, ShardedEmbedding) else own.get_weights())

    def epoch(
        self,
        model: keras.Model,
        plan: BatchPlan,
        epoch: int,
        first: int,
        callbacks: keras.callbacks.CallbackList,
    ) -> dict[str, float]:
        logs = super().epoch(model, plan, epoch, first, callbacks)
        # A step runs and counts twice if its worker is lost at the end of it.
        model.steps_done.assign((epoch + 1) * plan.steps)
        return logs

    def run(self, step: Callable[[Any], None], batch: Any) -> None:
        self.coordinator.schedule(step, args=(batch,))

    def wait(self) -> None:
        self.coordinator.join()

    def describe(self) -> dict[str, Any]:
        return {"engine": self.name, "table_shards": self.shards}
