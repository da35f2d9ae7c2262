"""Parameter servers: weights and tables lie there, workers compute steps, a coordinator hands batches out."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras

from keras_smes.distribution.cluster import Cluster
from keras_smes.distribution.engine import Engine, Plan, check_uncompiled
from keras_smes.distribution.faults import lost_processes
from keras_smes.distribution.sharded_embedding import ShardedEmbedding


def serve_forever(cluster: Cluster) -> None:
    """Serves as a worker or a parameter server, until the process is ended."""
    import tensorflow as tf

    addresses = tf.train.ClusterSpec({kind: list(own) for kind, own in cluster.addresses.items()})
    server = tf.distribute.Server(addresses, cluster.task, cluster.index, protocol="grpc", start=True)
    server.join()


class ParameterServerEngine(Engine):
    """Runs steps on workers that don't wait for each other: a step's weights may miss others' last steps.

    Variables are spread over the servers, and each embedding table is cut into shards, which look up and
    update where they lie. With one worker, steps are those of one device; with more, they are not, nor are
    they the same twice. The balance loss is that of each worker's batch.

    Args:
        cluster: The `Cluster`, of which this process is the chief.
        shards: Into how many a table is cut. Defaults to `None`, one a server.
    """

    name = "parameter_server"

    def __init__(self, cluster: Cluster, shards: int | None = None) -> None:
        import tensorflow as tf

        self.shards = shards or len(cluster.addresses["ps"])
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver(rpc_layer="grpc")
        self.strategy = tf.distribute.ParameterServerStrategy(resolver)
        self.coordinator = tf.distribute.coordinator.ClusterCoordinator(self.strategy)
        self._step: Callable[[Any], None] | None = None

    def scope(self) -> contextlib.AbstractContextManager:
        scope: contextlib.AbstractContextManager = self.strategy.scope()
        return scope

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
        self, model: keras.Model, plan: Plan, epoch: int, first: int, callbacks: keras.callbacks.CallbackList
    ) -> dict[str, float]:
        with lost_processes("a parameter server"):
            callbacks.on_train_begin()
            model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            step = self._step_of(model)
            for number, batch in enumerate(plan.epoch(epoch, first), start=1):
                self.coordinator.schedule(step, args=(batch,))
                if number % model.steps_per_execution == 0 or number == plan.steps - first:
                    self.coordinator.join()
                    callbacks.on_train_batch_end(number - 1)
            logs = {name: float(value) for name, value in model.get_metrics_result().items()}
            callbacks.on_epoch_end(epoch, logs)
            callbacks.on_train_end()
        return logs

    def _step_of(self, model: keras.Model) -> Callable[[Any], None]:
        import tensorflow as tf

        if self._step is None:

            def step(batch: Any) -> None:
                self.strategy.run(model.train_step, args=(batch,))

            self._step = tf.function(step, reduce_retracing=True)
        return self._step

    def describe(self) -> dict[str, Any]:
        return {"engine": self.name, "table_shards": self.shards}
