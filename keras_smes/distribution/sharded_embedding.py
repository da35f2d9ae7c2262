"""An embedding table sharded by rows, one shard per parameter server."""

from typing import Any

import keras
import numpy as np

from keras_smes.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_smes")
class ShardedEmbedding(keras.layers.Layer):
    """An embedding table in shards of consecutive rows, on TensorFlow.

    Lookups and updates run on the device of the shard: only the rows of a batch travel. Keras' `Embedding`
    reads the whole table first.

    Args:
        input_dim: Rows of the table.
        output_dim: Width of a row.
        shards: Number of shards; sizes differ by at most one row.

    Call arguments:
        ids: int32, of any shape.

    Returns:
        The rows, `[..., output_dim]`.

    Attributes:
        shards: A `keras.layers.Embedding` each, whose `embeddings` are the rows.
    """

    def __init__(self, input_dim: int, output_dim: int, shards: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_dim, self.output_dim = input_dim, output_dim
        # The division of `tf.nn.embedding_lookup`: the first shards take the remainder.
        sizes = [len(rows) for rows in np.array_split(np.arange(input_dim), min(shards, input_dim))]
        self.shards = [
            keras.layers.Embedding(size, output_dim, "zeros", name=f"shard_{n}")
            for n, size in enumerate(sizes)
        ]

    def build(self, ids_shape: Shape) -> None:
        for shard in self.shards:
            shard.build(ids_shape)

    def call(self, ids: Tensor) -> Tensor:
        import tensorflow as tf

        rows = tf.nn.embedding_lookup([shard.embeddings.value for shard in self.shards], ids)
        return tf.cast(rows, self.compute_dtype)

    def compute_output_shape(self, ids_shape: Shape) -> tuple[int | None, ...]:
        return (*ids_shape, self.output_dim)

    def get_table(self) -> np.ndarray:
        """Returns the whole table."""
        return np.concatenate([np.array(shard.embeddings) for shard in self.shards])

    def set_table(self, table: np.ndarray) -> None:
        """Sets all rows."""
        for shard, rows in zip(self.shards, np.array_split(table, len(self.shards)), strict=True):
            shard.embeddings.assign(rows)

    def get_config(self) -> dict[str, Any]:
        own = {"input_dim": self.input_dim, "output_dim": self.output_dim, "shards": len(self.shards)}
        return {**super().get_config(), **own}
