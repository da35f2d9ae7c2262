"""Saving and loading quantized layers that are composed of Keras layers."""

from collections.abc import Mapping
from typing import Any

import keras


class Composite(keras.layers.Layer):
    """Base class of composite layers, whose configuration includes the quantization of their parts.

    `Model.quantize` replaces the variables of a layer's parts. A loaded layer must quantize its parts in the
    same way, so a subclass calls `quantize_parts` at the end of its `build`.
    """

    _quantized: Any = ()

    def quantize_parts(self) -> None:
        """Quantizes the built parts as in the saved layer."""
        parts = self._flatten_layers(include_self=False)
        for entry in self._quantized:
            part = parts[entry["part"]]
            if part.quantization_mode is None:
                config = keras.saving.deserialize_keras_object(entry["config"])
                part.quantize(entry["mode"], config=config)

    def get_config(self) -> dict[str, Any]:
        quantized = [
            {
                "part": place,
                "mode": part.quantization_mode,
                "config": keras.saving.serialize_keras_object(part.quantization_config),
            }
            for place, part in enumerate(self._flatten_layers(include_self=False))
            if getattr(part, "quantization_mode", None) is not None
        ]
        return {**super().get_config(), **({"quantized": quantized} if quantized else {})}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Composite":
        layer = super().from_config({key: value for key, value in config.items() if key != "quantized"})
        layer._quantized = config.get("quantized", ())
        return layer
