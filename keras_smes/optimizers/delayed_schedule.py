"""A learning rate schedule that begins at another step than 0."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="keras_smes")
class Later(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that begins later, for an optimizer that continues with its count of steps.

    Args:
        schedule: The schedule.
        first_step: The step at which it begins.

    Example:

    >>> cosine = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=10)
    >>> float(Later(cosine, 500)(505)) == float(cosine(5))
    True
    """

    def __init__(self, schedule: Any, first_step: int) -> None:
        super().__init__()
        self.schedule, self.first_step = schedule, first_step

    def __call__(self, step: Any) -> Any:
        return self.schedule(step - self.first_step)

    def get_config(self) -> dict[str, Any]:
        inner = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": inner, "first_step": self.first_step}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Later":
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["first_step"])
