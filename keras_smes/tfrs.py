"""Layers of Keras 3 in models of TensorFlow Recommenders, which are models of Keras 2.

TFRS builds on `tf_keras`, Keras 2 as a package. A layer of Keras 3 called there computes the right numbers,
but `tf_keras` sees neither its variables nor its losses: they are neither trained nor saved, without a word.
`Keras3Layer` shows them. Needs the extra `tfrs`, and `TF_USE_LEGACY_KERAS=1` in the environment before
TensorFlow is imported.
"""

import inspect
import os
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

__all__ = ["Keras3Layer"]

Tensor = Any


def _legacy_keras() -> Any:
    """Returns `tf_keras`, where `tf.keras` is that."""
    if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() not in ("1", "true"):
        raise ImportError(
            "keras_smes.tfrs needs TF_USE_LEGACY_KERAS=1 in the environment before TensorFlow is imported. "
            f"Received: TF_USE_LEGACY_KERAS={os.environ.get('TF_USE_LEGACY_KERAS')!r}"
        )
    if keras.config.backend() != "tensorflow":
        raise ImportError(
            f"keras_smes.tfrs needs KERAS_BACKEND=tensorflow. Received: {keras.config.backend()!r}"
        )
    try:
        import tf_keras
    except ImportError as error:
        raise ImportError('keras_smes.tfrs needs tf-keras: pip install "keras_smes[tfrs]"') from error
    if tf.keras.Model is not tf_keras.Model:
        raise ImportError(
            "keras_smes.tfrs needs TF_USE_LEGACY_KERAS=1 before anything touches `tf.keras`. "
            f"Received: a `tf.keras` that is Keras {tf.keras.__version__} already"
        )
    return tf_keras


tf_keras = _legacy_keras()
# A name by itself, as mypy wants a base.
Keras2Layer: Any = tf_keras.layers.Layer


@tf_keras.utils.register_keras_serializable(package="keras_smes")
class Keras3Layer(Keras2Layer):
    """A layer of Keras 3 as one of `tf_keras`: for `tfrs.Model`, beside `tfrs.layers` and tasks.

    It computes what the layer computes, and shows the layer's variables and losses as its own: they are
    trained, checkpointed and exported once each. A loss that the layer adds when it is called, as the
    balance loss, is added by each call; a regularizer of its weights counts once, however often it is called.

    Two globals are not shared between the two Keras: the layer keeps its own dtype policy
    (`keras.config.set_dtype_policy`, or its argument `dtype`), whatever `tf_keras.mixed_precision` says; and
    seeds are those of `keras.utils.set_random_seed`.

    Args:
        layer: A `keras.layers.Layer`, such as `SMES`, that can be built from the shape of its first argument.
        **kwargs: Those of `tf_keras.layers.Layer`. `name` defaults to the layer's.

    Call arguments:
        *args: What the layer takes.
        mask: Mask of the first argument, if the layer takes one.
        training: Boolean, as `tf_keras` passes it on.
        **kwargs: What the layer takes by name.

    Returns:
        What the layer returns.

    Raises:
        ValueError: `layer` is not a layer of Keras 3.

    Example:

    >>> class Ranker(tfrs.Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.cross = tfrs.layers.dcn.Cross()
    ...         self.smes = Keras3Layer(SMES(2, 16, num_shared=2, num_private=1, expert_units=(32, 8)))
    ...         self.tower = tf.keras.layers.Dense(1, activation="sigmoid")
    ...         self.task = tfrs.tasks.Ranking(loss=tf.keras.losses.BinaryCrossentropy())
    ...     def call(self, features):
    ...         return self.tower(self.smes(self.cross(features)))[:, :, 0]
    ...     def compute_loss(self, inputs, training=False):
    ...         features, labels = inputs
    ...         return self.task(labels, self(features, training=training))
    >>> Ranker()(np.ones((3, 12), "float32")).shape
    (3, 2)
    """

    layer: keras.layers.Layer

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any) -> None:
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(f"`layer` must be a layer of Keras 3. Received: layer={layer!r}")
        # Past tf_keras' tracking, which would save the layer's variables a second time.
        object.__setattr__(self, "layer", layer)
        super().__init__(**{"name": layer.name, "trainable": layer.trainable, "autocast": False, **kwargs})
        self.supports_masking = layer.supports_masking
        self._takes_mask = "mask" in inspect.signature(layer.call).parameters

    def build(self, input_shape: Any) -> None:
        if not self.layer.built:
            self.layer.build(tf.nest.map_structure(_as_tuple, input_shape))
        # All of its state, also seeds, which are not among the weights.
        self.state = [variable.value for variable in self.layer.variables]
        self.add_loss([_regularization(variable) for variable in self._regularized()])
        super().build(input_shape)

    def call(self, *args: Any, mask: Any = None, training: bool | None = None, **kwargs: Any) -> Any:
        if mask is not None and self._takes_mask:
            kwargs["mask"] = mask
        outputs = self.layer(*args, training=training, **kwargs)
        # What calls add comes first in a Keras 3 layer's list, what its regularizers say last.
        losses = self.layer.losses
        self.add_loss(losses[: len(losses) - len(self._regularized())])
        return outputs

    def _regularized(self) -> list[Any]:
        return [variable for variable in self.layer.trainable_variables if variable.regularizer is not None]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, mask)

    # What `trainable` reads, and what a model writes to its layers when it is frozen, and in each `fit`.
    @property
    def _trainable(self) -> bool:
        return bool(self.layer.trainable)

    @_trainable.setter
    def _trainable(self, value: bool) -> None:
        if value != self.layer.trainable:  # else parts of the layer that are frozen would thaw
            self.layer.trainable = value

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        return [variable.value for variable in self.layer.trainable_variables]

    @property
    def non_trainable_weights(self) -> list[tf.Variable]:
        return [variable.value for variable in self.layer.non_trainable_variables]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Keras3Layer":
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})


def _as_tuple(shape: Any) -> tuple[int | None, ...]:
    return tuple(tf.TensorShape(shape).as_list())


def _regularization(variable: Any) -> Callable[[], Tensor]:
    return lambda: variable.regularizer(variable.value)
