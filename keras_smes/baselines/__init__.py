"""Baselines: one paper a file, on the same pool of experts as SMES, each `[B, D] -> [B, T, out]`."""

from keras_smes.baselines.mmoe import MMoE

__all__ = ["MMoE"]
