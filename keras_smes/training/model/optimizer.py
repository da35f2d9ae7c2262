"""The configured optimizer."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.optimizers import FusedAdam, Later, LazyAdam, RowwiseAdagrad, SplitOptimizer
from keras_smes.optimizers.sparse_gradients import values_of
from keras_smes.training.config import OptimizerConfig

_REST = {
    "adam": FusedAdam,
    "adamw": functools.partial(FusedAdam, weight_decay=0.004),
    "adagrad": keras.optimizers.Adagrad,
    "sgd": keras.optimizers.SGD,
}
_EMBEDDINGS = {"lazy_adam": LazyAdam, "rowwise_adagrad": RowwiseAdagrad, "sgd": keras.optimizers.SGD}


def build_optimizer(
    config: OptimizerConfig,
    steps: int,
    variables: Sequence[Any],
    scale_loss: bool = False,
    first_step: int = 0,
) -> keras.optimizers.Optimizer:
    """Builds the optimizer of a model's variables, with its state.

    Returns:
        A `SplitOptimizer`, or the dense optimizer alone if the model has no embeddings.
    """
    embedding_rate = config.embedding_learning_rate or config.learning_rate
    rates = (learning_rate(peak, config, steps) for peak in (config.learning_rate, embedding_rate))
    of_rest, of_embeddings = (later(rate, first_step) for rate in rates)
    rest, embeddings = _REST[config.name](of_rest), _EMBEDDINGS[config.embeddings](of_embeddings)
    split = SplitOptimizer(embeddings, rest)
    optimizer = split if any(split.is_embedding(variable) for variable in variables) else rest
    if scale_loss:
        optimizer = ScaledLoss(optimizer)
    optimizer.build(variables)
    return optimizer


class ScaledLoss(keras.optimizers.LossScaleOptimizer):
    """Loss scaling that checks sparse gradients without making them dense, as Keras does."""

    def check_finite(self, grads: Sequence[Any]) -> Any:
        return all_finite(grads)


def all_finite(gradients: Sequence[Any]) -> Any:
    """Whether all gradients are finite, by their sums: one pass without masks in memory."""
    sums = [ops.sum(ops.cast(values_of(g), "float32")) for g in gradients if g is not None]
    return ops.isfinite(ops.sum(ops.stack(sums)))


def learning_rate(peak: float, config: OptimizerConfig, steps: int) -> Any:
    """Returns the learning rate of each step, as Keras' optimizers take it.

    ```
    peak * n / warmup_steps                                      in step n < warmup_steps
    peak                                                         after that, if constant
    peak * (1 + cos(pi * (n - warmup_steps) / (steps - warmup_steps))) / 2      if cosine
    ```

    Returns:
        A float, or a `keras.optimizers.schedules.LearningRateSchedule`.

    Raises:
        ValueError: The warm-up is as long as the training.
    """
    warmup = config.warmup_steps
    if warmup >= steps:
        raise ValueError(
            f"`warmup_steps` must be fewer than all steps, {steps}. Received: warmup_steps={warmup}"
        )
    schedules = keras.optimizers.schedules
    if config.schedule == "constant":
        # Linear from zero, then constant.
        return schedules.PolynomialDecay(0.0, warmup, peak, power=1.0) if warmup else peak
    if warmup:
        return schedules.CosineDecay(0.0, steps - warmup, warmup_target=peak, warmup_steps=warmup)
    return schedules.CosineDecay(peak, steps)


def later(rate: Any, first_step: int) -> Any:
    """Returns a learning rate whose schedule begins at `first_step`."""
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    return Later(rate, first_step) if is_schedule and first_step else rate
