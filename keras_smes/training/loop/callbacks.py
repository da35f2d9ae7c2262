"""The progress bar of the training loop."""

from collections.abc import Mapping

import keras


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar, which never exceeds the number of steps in the last execution."""

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        super().on_train_batch_end(batch if self.target is None else min(batch, self.target - 1), logs)
