"""Callbacks of the training loop."""

from collections.abc import Callable, Mapping
from typing import Any

import keras


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar, which never exceeds the number of steps in the last execution."""

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        super().on_train_batch_end(batch if self.target is None else min(batch, self.target - 1), logs)


class BetweenSteps(keras.callbacks.Callback):
    """Calls a function after each execution of steps."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act = act

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.act()


class RestoredMeans(keras.callbacks.Callback):
    """Restores the running means of a resumed epoch, which Keras resets."""

    def __init__(self, restore: Callable[[], None]) -> None:
        super().__init__()
        self.restore = restore

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.restore()
