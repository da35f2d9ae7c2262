"""Keras 3 layers in models of TensorFlow Recommenders, which are Keras 2 models.

`tf_keras`, Keras 2 as a package, sees neither the variables nor the losses of a Keras 3 layer: they are
silently neither trained nor saved. `Keras3Layer` exposes them. Needs the extra `tfrs`, and
`TF_USE_LEGACY_KERAS=1` in the environment before TensorFlow is imported.
"""

import inspect
import os
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_smes.types import Tensor

__all__ = ["Keras3Layer"]


def _legacy_keras() -> Any:
    """Returns `tf_keras` if `tf.keras` is `tf_keras`."""
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
            "keras_smes.tfrs needs TF_USE_LEGACY_KERAS=1 before the first use of `tf.keras`. "
            f"Received: `tf.keras` is already Keras {tf.keras.__version__}"
        )
    return tf_keras


tf_keras = _legacy_keras()
# A name by itself, as mypy wants a base.
Keras2Layer: Any = tf_keras.layers.Layer


@tf_keras.utils.register_keras_serializable(package="keras_smes")
class Keras3Layer(Keras2Layer):
    """Adapter that makes a Keras 3 layer a `tf_keras` layer, for `tfrs.Model`.

    It computes the layer and exposes the layer's variables and losses as its own: each is trained,
    checkpointed and exported once. A loss that the layer adds in a call, such as the balance loss, is added
    by each call; a regularizer of its weights counts once, for any number of calls.

    Two globals are not shared between Keras 2 and 3: the layer keeps its own dtype policy
    (`keras.config.set_dtype_policy`, or its argument `dtype`), independent of `tf_keras.mixed_precision`; and
    seeds are those of `keras.utils.set_random_seed`.

    Args:
        layer: A `keras.layers.Layer`, such as `SMES`, that can be built from the shape of its first argument.
        **kwargs: Arguments of `tf_keras.layers.Layer`. `name` defaults to the layer's.

    Call arguments and outputs are the layer's.

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
            raise ValueError(f"`layer` must be a Keras 3 layer. Received: layer={layer!r}")
        # Bypasses tf_keras' tracking, which would save the layer's variables a second time.
        object.__setattr__(self, "layer", layer)
        super().__init__(**{"name": layer.name, "trainable": layer.trainable, "autocast": False, **kwargs})
        self.supports_masking = layer.supports_masking
        self._takes_mask = "mask" in inspect.signature(layer.call).parameters

    def build(self, input_shape: Any) -> None:
        if not self.layer.built:
            self.layer.build(tf.nest.map_structure(lambda s: tuple(tf.TensorShape(s).as_list()), input_shape))
        # The whole state, including seeds, which are not among the weights.
        self.state = [variable.value for variable in self.layer.variables]
        self.add_loss([_regularization(variable) for variable in self._regularized()])
        super().build(input_shape)

    def call(self, *args: Any, mask: Any = None, training: bool | None = None, **kwargs: Any) -> Any:
        if mask is not None and self._takes_mask:
            kwargs["mask"] = mask
        outputs = self.layer(*args, training=training, **kwargs)
        # A Keras 3 layer lists losses of calls first, and regularizers last.
        losses = self.layer.losses
        self.add_loss(losses[: len(losses) - len(self._regularized())])
        return outputs

    def _regularized(self) -> list[Any]:
        return [variable for variable in self.layer.trainable_variables if variable.regularizer is not None]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, mask)

    # Read by `trainable`; a model sets it on its layers when it is frozen and in each `fit`.
    @property
    def _trainable(self) -> bool:
        return bool(self.layer.trainable)

    @_trainable.setter
    def _trainable(self, value: bool) -> None:
        if value != self.layer.trainable:  # keeps frozen parts of the layer frozen
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


def _regularization(variable: Any) -> Callable[[], Tensor]:
    return lambda: variable.regularizer(variable.value)
