"""PCGrad: projection of conflicting task gradients."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_smes.types import Tensor


@keras.saving.register_keras_serializable(package="keras_smes")
class PCGrad:
    """Projects each task's gradient onto the normal plane of those it conflicts with, and sums them.

    ```
    for each task i:
        p = g[i]
        for each task j != i, in random order:
            if p . g[j] < 0:
                p -= (p . g[j]) / |g[j]|^2 * g[j]
        g += p
    ```

    A task's gradient is one vector over all given variables. Products and norms of a pair of tasks are over
    the variables for which both have a non-zero gradient. The cost is T^2 products of the variables' size,
    and one gradient per task. Pass the weights of shared dense layers; exclude embedding tables and stacks
    with one slice per task, such as the gates of MMoE.

    Args:
        seed: Integer or `keras.random.SeedGenerator` of the random orders. Defaults to `None`, a random seed.

    Raises:
        ValueError: `gradients` is empty, or tasks have different numbers of gradients.

    Call arguments:
        gradients: Dict from a task to its gradients, one tensor per variable; see `task_gradients`.

    Returns:
        A list of one float32 tensor per variable: the sum over tasks.

    Example:

    >>> surgery = PCGrad(seed=1)
    >>> (gradient,) = surgery({"click": [np.array([1.0, 0.0])], "like": [np.array([-1.0, 1.0])]})
    >>> gradient.numpy()  # [1, 0] + 1/2 * [-1, 1], and [-1, 1] + [1, 0]
    array([0.5, 1.5], dtype=float32)

    In a TensorFlow model, with the persistent tape of the example of `GradNorm`:

    >>> def apply(self, tape, losses, loss):
    ...     shared = self.core.get_layer("shared").trainable_variables
    ...     own = [v for v in self.trainable_variables if all(v is not s for s in shared)]
    ...     gradients = [*self.surgery(task_gradients(tape, losses, shared)), *tape.gradient(loss, own)]
    ...     self.optimizer.apply_gradients(zip(gradients, [*shared, *own]))

    References:
        - [Gradient Surgery for Multi-Task Learning](https://arxiv.org/abs/2001.06782)
    """

    def __init__(self, seed: Any = None) -> None:
        self.seed = seed
        generator = keras.random.SeedGenerator
        self.seed_generator = seed if isinstance(seed, generator) else generator(seed)

    def __call__(self, gradients: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
        if not gradients or len({len(tensors) for tensors in gradients.values()}) != 1:
            counts = {task: len(tensors) for task, tensors in gradients.items()}
            raise ValueError(f"`gradients` must hold as many tensors for each task. Received: {counts}")
        shapes = [tuple(tensor.shape) for tensor in next(iter(gradients.values()))]
        if not shapes:
            return []
        # The gradients of one variable, a row per task.
        parts = [
            ops.stack([ops.reshape(ops.cast(tensor, "float32"), (-1,)) for tensor in tensors])
            for tensors in zip(*gradients.values(), strict=True)
        ]
        vectors_tn = ops.concatenate(parts, axis=1)
        variable_n = ops.concatenate([ops.full(part.shape[1:], v, "int32") for v, part in enumerate(parts)])
        has_tv = ops.stack([ops.any(ops.not_equal(part_tn, 0.0), axis=1) for part_tn in parts], axis=1)
        tasks = range(len(gradients))
        total_n = sum(self._projected(task, vectors_tn, has_tv, variable_n) for task in tasks)
        ends = itertools.accumulate(math.prod(shape) for shape in shapes)
        starts_and_shapes = zip(ends, shapes, strict=True)
        return [ops.reshape(total_n[end - math.prod(s) : end], s) for end, s in starts_and_shapes]

    def _projected(self, task: int, vectors_tn: Tensor, has_tv: Tensor, variable_n: Tensor) -> Tensor:
        others = [other for other in range(vectors_tn.shape[0]) if other != task]
        if not others:
            return vectors_tn[task]
        order = keras.random.shuffle(ops.array(others, "int32"), seed=self.seed_generator)
        vector_n = vectors_tn[task]
        for place in range(len(others)):
            both_v = ops.logical_and(has_tv[task], ops.take(has_tv, order[place], axis=0))
            both_n = ops.take(both_v, variable_n)
            other_n = ops.where(both_n, ops.take(vectors_tn, order[place], axis=0), 0.0)
            against = ops.minimum(ops.sum(vector_n * other_n), 0.0)
            vector_n = vector_n - ops.divide_no_nan(against, ops.sum(ops.square(other_n))) * other_n
        return vector_n

    def get_config(self) -> dict[str, Any]:
        return {"seed": keras.saving.serialize_keras_object(self.seed)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PCGrad":
        return cls(keras.saving.deserialize_keras_object(config["seed"]))
