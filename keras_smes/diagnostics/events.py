"""Scalars, images and histograms for TensorBoard, written without TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Events:
    """Writes event files into a folder, by TensorFlow's summary operation.

    `tf.summary.scalar` and the like belong to TensorBoard, which may not be installed.

    Args:
        folder: Folder of the event files; a separate one per writer.
    """

    def __init__(self, folder: str | Path) -> None:
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(str(folder))

    def scalars(self, step: int, figures: Mapping[str, float]) -> None:
        """Writes numbers, without those that aren't finite.

        Args:
            step: The step, such as the epoch.
            figures: Numbers by name.
        """
        for name, value in figures.items():
            if np.isfinite(value):
                self._write("scalars", name, step, np.float32(value))
        self._writer.flush()

    def image(self, step: int, name: str, pixels: NDArray[np.uint8], description: str) -> None:
        """Writes a picture.

        Args:
            step: The step, such as the epoch.
            name: Name of the picture.
            pixels: `[height, width, 3]` uint8, red, green and blue.
            description: Text that TensorBoard shows beside it.
        """
        import tensorflow as tf

        height, width = (str(size).encode() for size in pixels.shape[:2])
        png = tf.io.encode_png(pixels, compression=1)  # fast, since training waits
        self._write("images", name, step, tf.stack([width, height, png]), description)

    def histogram(self, step: int, name: str, edges: ArrayLike, counts: ArrayLike) -> None:
        """Writes a histogram.

        Args:
            step: The step, such as the epoch.
            name: Name of the histogram.
            edges: `[N + 1]`, the edges of its bins, ascending.
            counts: `[N]`, the number of values in each bin.
        """
        edges = np.asarray(edges, np.float64)
        self._write("histograms", name, step, np.stack([edges[:-1], edges[1:], np.asarray(counts)], axis=1))

    def _write(self, plugin: str, name: str, step: int, value: Any, description: str = "") -> None:
        import tensorflow as tf

        metadata = tf.compat.v1.SummaryMetadata(summary_description=description)
        metadata.plugin_data.plugin_name = plugin
        with self._writer.as_default(step):
            tf.summary.write(name, value, metadata=metadata)
