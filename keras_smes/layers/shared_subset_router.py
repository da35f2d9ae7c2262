"""The routers of all tasks and the joint choice of shared experts."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_smes import routing
from keras_smes.layers.initializers import clone, stacked
from keras_smes.layers.masks import mask_all
from keras_smes.types import Routing, Shape, Tensor
from keras_smes.validation import check_count, check_rank, check_task_weights


class InFloatx(keras.regularizers.Regularizer):
    """Casts a float32 weight's regularization loss to Keras' floatx, in which Keras sums losses."""

    def __init__(self, regularizer: keras.regularizers.Regularizer) -> None:
        self.regularizer = regularizer

    def __call__(self, x: Tensor) -> Tensor:
        return ops.cast(self.regularizer(x), keras.config.floatx())


@keras.saving.register_keras_serializable(package="keras_smes")
class SharedSubsetRouter(keras.layers.Layer):
    """Routes instances: one linear router per task, one subset of experts shared by all tasks.

    ```
    z[b,t,:] = h[b,:] @ kernel[:,t,:]
    p = softmax_E(z)
    s[b,e] = sum_t w[t] * p[b,t,e]
    S(b) = TopK_e(s[b,:], K_s)
    ```

    With a `rank`, the routers share a projection of h and cost `D r + r T E` multiply-adds instead of
    `D T E`: `z[b,t,:] = (h[b,:] @ projection) @ kernel[:,t,:]`.

    Routers compute in float32 under any dtype policy, because rounded scores tie and pick other experts. Ties
    go to the lower expert index. (The paper doesn't specify either.)

    Args:
        num_tasks: Integer, tasks T, each with its own router.
        num_experts: Integer, experts E in the pool.
        num_shared: Integer, experts K_s that all tasks of an instance share, `0` to E.
        task_weights: List of T numbers of at least 0, the weights w of the joint choice, which are
            normalised to sum 1. Defaults to `None`, equal weights.
        kernel_initializer: Initializer of each task's `[D, E]` router. Defaults to
            `"glorot_uniform"`.
        kernel_regularizer: Regularizer of the routers. Defaults to `None`.
        rank: Integer r, width of a projection that the routers share; our extension. Defaults to `None`, no
            projection.

    Call arguments:
        inputs: `[B, D]` floats, the encoded instances h.

    Returns:
        A dict: `logits` and `probabilities`, float32 `[B, T, E]`; `shared`, bool `[B, E]`;
        `shared_experts`, int32 `[B, K_s]`, the same experts as a list, ascending.

    Example:

    >>> router = SharedSubsetRouter(num_tasks=3, num_experts=8, num_shared=2)
    >>> routing = router(keras.random.normal((4, 16)))
    >>> routing["probabilities"].shape, routing["shared_experts"].shape
    ((4, 3, 8), (4, 2))

    In a functional model:

    >>> h = keras.Input((16,))
    >>> routing = SharedSubsetRouter(num_tasks=3, num_experts=8, num_shared=2)(h)

    Attributes:
        kernel: `[D, T, E]`, or `[r, T, E]` with a rank.
        projection: `[D, r]`, or `None` without a rank.

    References:
        - [SMES: Towards Scalable Multi-Task Recommendation via Expert Sparsity](https://arxiv.org/abs/2602.09386)
    """

    def __init__(
        self,
        num_tasks: int,
        num_experts: int,
        num_shared: int,
        task_weights: Sequence[float] | None = None,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        rank: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        self.num_tasks = check_count("num_tasks", num_tasks)
        self.num_experts = check_count("num_experts", num_experts)
        self.num_shared = check_count("num_shared", num_shared, minimum=0)
        if self.num_shared > self.num_experts:
            raise ValueError(
                "`num_shared` must be at most `num_experts`. "
                f"Received: num_shared={num_shared}, num_experts={num_experts}"
            )
        self._weights_t = check_task_weights(task_weights, self.num_tasks)
        self.task_weights = None if task_weights is None else list(task_weights)
        self.kernel_initializer = clone(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.rank = None if rank is None else check_count("rank", rank)
        self.projection: Any = None

    def build(self, input_shape: Shape) -> None:
        check_rank("inputs", input_shape, "[batch, width]")
        width = input_shape[-1]
        if self.rank is not None:
            self.projection = self._add_router(
                "projection", (width, self.rank), clone(self.kernel_initializer)
            )
            width = self.rank
        shape = (width, self.num_tasks, self.num_experts)
        self.kernel = self._add_router("kernel", shape, self._initial_kernel)

    def _add_router(self, name: str, shape: Shape, initializer: Any) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            regularizer=self.kernel_regularizer and InFloatx(self.kernel_regularizer),
            dtype="float32",
            autocast=False,
        )

    def _initial_kernel(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        width, num_tasks, num_experts = shape
        routers_tde = stacked(self.kernel_initializer)((num_tasks, width, num_experts), dtype=dtype)
        return ops.transpose(routers_tde, (1, 0, 2))

    def call(self, inputs: Tensor) -> Routing:
        h_bd = ops.cast(inputs, "float32")
        if self.projection is not None:
            h_bd = ops.matmul(h_bd, self.projection)
        # Flat, as one plain product for the routers of all tasks.
        routers_de = ops.reshape(self.kernel, (-1, self.num_tasks * self.num_experts))
        logits_bte = ops.reshape(ops.matmul(h_bd, routers_de), (-1, self.num_tasks, self.num_experts))
        probabilities_bte = ops.softmax(logits_bte, axis=-1)
        task_weights_t = ops.convert_to_tensor(self._weights_t, dtype="float32")
        score_be = routing.joint_score(probabilities_bte, task_weights_t)
        shared_bk = routing.shared_subset(score_be, self.num_shared)
        return {
            "logits": logits_bte,
            "probabilities": probabilities_bte,
            "shared": routing.mask(shared_bk, self.num_experts),
            "shared_experts": shared_bk,
        }

    def compute_output_shape(self, input_shape: Shape) -> dict[str, tuple[int | None, ...]]:
        batch = input_shape[0]
        return {
            "logits": (batch, self.num_tasks, self.num_experts),
            "probabilities": (batch, self.num_tasks, self.num_experts),
            "shared": (batch, self.num_experts),
            "shared_experts": (batch, self.num_shared),
        }

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> dict[str, Tensor | None]:
        return mask_all(self.compute_output_shape(inputs.shape), mask)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_experts": self.num_experts,
            "num_shared": self.num_shared,
            "task_weights": self.task_weights,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "rank": self.rank,
        }
