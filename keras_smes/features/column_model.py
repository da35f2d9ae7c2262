"""A functional model that takes table columns."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_smes.backend.graph import call_graph
from keras_smes.features.raw.conversion import CONVERSIONS
from keras_smes.features.raw.frames import as_columns

# What Keras' converters would write files of that load nowhere, or answer wrongly to NaN.
WITHOUT_LOOKUPS = {
    "onnx": "`keras_smes.export.export_onnx_version` does, and `keras-smes export --format onnx`.",
    "litert": "Its layer `core` can, from what `preprocessor` puts out, if experts run by execution='dense'.",
}


@keras.saving.register_keras_serializable(package="keras_smes")
class ColumnModel(keras.Model):
    """A functional model of a dict of columns, which may also be lists, NumPy strings, or hold `None`.

    Columns are converted as by `FeatureSchema.prepare_columns`; tensors and data sets are not converted.
    Features with many values per row are arrays `[N, L]` beside their lengths.

    Raises:
        ValueError: A column's type doesn't match the input of its name; the message names it.
    """

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        columns = self._typed(inputs)
        if keras.backend.backend() != "tensorflow" and _has_text(columns):
            # Keras would make tensors of its backend of all columns; lookups take TensorFlow's strings.
            return call_graph(self, columns, lambda operation: operation)
        return super().__call__(columns, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return super().predict(self._typed(x), *args, **kwargs)

    def export(self, filepath: Any, format: str = "tf_saved_model", *args: Any, **kwargs: Any) -> None:
        """Exports the model as `keras.Model.export` does, to a format that has lookups."""
        if format in WITHOUT_LOOKUPS:
            raise ValueError(
                f"A model of raw columns can't be exported to {format!r} by Keras. {WITHOUT_LOOKUPS[format]} "
                f"Received: model {self.name!r}"
            )
        super().export(filepath, format, *args, **kwargs)

    def _typed(self, inputs: Any) -> Any:
        if not (isinstance(inputs, Mapping) or hasattr(inputs, "to_dict")):
            return inputs
        dtypes = {name: keras.backend.standardize_dtype(tensor.dtype) for name, tensor in self.input.items()}
        return {
            name: _typed(name, values, dtypes[name]) if name in dtypes else values
            for name, values in as_columns(inputs).items()
        }


def _has_text(columns: Any) -> bool:
    values = columns.values() if isinstance(columns, Mapping) else ()
    known = [value for value in values if not isinstance(value, keras.KerasTensor)]
    return any(
        str(getattr(getattr(value, "dtype", None), "name", "")) in ("string", "object") for value in known
    )


def _typed(name: str, values: Any, dtype: str) -> Any:
    if not isinstance(values, (np.ndarray, list, tuple)):
        return values  # a tensor, or a symbol of one
    array = values if isinstance(values, np.ndarray) else np.array(values, object)
    if array.dtype == object and any(isinstance(value, (list, tuple, np.ndarray)) for value in array.flat):
        raise ValueError(
            f"Feature {name!r} takes one value per row, or an array [N, L] beside {name + '_length'!r} "
            "(`schema.prepare_columns` converts lists). Received: lists of different lengths"
        )
    convert = CONVERSIONS.get(dtype, CONVERSIONS["int64"])  # lengths are int32
    typed = convert(name, array.reshape(-1)).reshape(array.shape)
    typed = typed if dtype in CONVERSIONS else typed.astype(dtype)
    # Keras' `predict` takes objects as [N] only. On JAX an int64 tensor would become int32.
    return keras.ops.convert_to_tensor(typed, dtype) if keras.backend.backend() == "tensorflow" else typed
