"""What happens between executions of steps: checkpoints, the stop at what isn't finite, curves."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np


class BetweenSteps(keras.callbacks.Callback):
    """Calls a function after each execution of steps.

    Args:
        act: The function.
    """

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act = act

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.act()


class RestoredMeans(keras.callbacks.Callback):
    """Gives the first epoch the means of its steps before a resume; Keras resets them.

    Args:
        restore: Sets the metrics' variables.
    """

    def __init__(self, restore: Callable[[], None]) -> None:
        super().__init__()
        self.restore = restore

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.restore()


class Curves:
    """Writes an epoch's figures for TensorBoard, which need not be installed.

    Args:
        folder: Folder of the event files.
    """

    def __init__(self, folder: str | Path) -> None:
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Writes scalars at a step."""
        import tensorflow as tf

        with self._writer.as_default(step):
            for name, value in figures.items():
                if np.isfinite(value):
                    # By the operation itself: `tf.summary.scalar` is TensorBoard's, which may be missing.
                    tf.summary.write(name, tf.constant(value, tf.float32), metadata=_scalars())
        self._writer.flush()


def _scalars() -> Any:
    import tensorflow as tf

    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    return metadata
