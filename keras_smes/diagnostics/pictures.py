"""Matrices as pixel images for TensorBoard: plots with axes take ten times as long."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, ROW = 320, 12  # pixels: approximate width of an image, and height of a row
DARK = np.array([8, 48, 107])  # the darkest blue of `keras_smes.viz`
NOTHING = np.array([200, 200, 200])


def heat_picture(values: ArrayLike, top: float) -> NDArray[np.uint8]:
    """Draws a matrix as pixels `[height, width, 3]`: white is 0, dark blue `top` or more, grey undefined.

    Example:

    >>> heat_picture([[0.0, 1.0]], top=1.0)[6, [5, 315]].tolist()
    [[255, 255, 255], [8, 48, 107]]
    """
    matrix = np.asarray(values, np.float64)
    share = np.clip(np.nan_to_num(matrix) / top, 0, 1)[..., None]
    colors = np.where(np.isnan(matrix)[..., None], NOTHING, 255 + share * (DARK - 255))
    column = max(2, WIDTH // matrix.shape[1])
    picture = np.round(colors).astype(np.uint8).repeat(ROW, axis=0).repeat(column, axis=1)
    picture[ROW - 1 :: ROW] = 255  # a thin line under each row
    return picture
