"""What is timed: a layer's forward pass and its gradients, compiled as each backend does it."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_smes import SMES
from keras_smes.types import Tensor

MIXING = ("weights", "slot_weights")  # `dense` reads the first, the sparse ways the second
ROUTING = (*MIXING, "union", "executed")  # all that experts read


@dataclasses.dataclass(frozen=True)
class Case:
    """The sizes of a layer and of a batch."""

    batch: int
    width: int
    units: tuple[int, ...]
    experts: int
    tasks: int
    num_shared: int
    num_private: int

    @property
    def bound(self) -> int:
        return min(self.experts, self.num_shared + self.tasks * self.num_private)

    @property
    def expert_weights(self) -> int:
        widths = [self.width, *self.units]
        return sum((i + 1) * o for i, o in itertools.pairwise(widths))


def build_layer(case: Case, routing: str, policy: str = "float32") -> tuple[SMES, Tensor]:
    """Builds a layer and a batch whose routing is `"uniform"`, or `"skewed"` as trained routers are.

    Skewed: h has a constant in front, through which routers favour experts by a power law, so that the
    busiest expert gets several times the mean and the least busy next to nothing.
    """
    rng = np.random.default_rng(0)
    picks = (case.num_shared, case.num_private)
    smes = SMES(case.tasks, case.experts, *picks, case.units, balance_weight=0.0, dtype=policy)
    smes.build((None, case.width))
    inputs = rng.normal(size=(case.batch, case.width)).astype("float32")
    kernel = rng.normal(size=(case.width, case.tasks, case.experts)) / np.sqrt(case.width)
    inputs[:, 0] = 1.0
    popularity = -0.7 * np.log(rng.permutation(case.experts) + 1.0)
    kernel[0] = popularity if routing == "skewed" else 0.0
    smes.router.kernel.assign(kernel.astype("float32"))
    return smes, keras.ops.convert_to_tensor(inputs)


def experts_of(smes: SMES, execution: str) -> Callable[..., Tensor]:
    """The experts alone: instances and their routing to mixtures."""

    def call(inputs: Tensor, routing: dict[str, Tensor]) -> Tensor:
        smes.experts.execution = execution  # read when the function is traced
        return smes.experts(inputs, routing)

    return call


def layer_of(smes: SMES, execution: str) -> Callable[..., Tensor]:
    """The whole layer: routing, experts, mixtures."""

    def call(inputs: Tensor) -> Tensor:
        smes.experts.execution = execution
        return smes(inputs)

    return call


def compile_forward(
    call: Callable[..., Tensor], layer: keras.layers.Layer, arguments: Sequence[Any], jit: bool
) -> Callable[[], Any]:
    """Compiles `call(*arguments)`."""
    if keras.backend.backend() == "jax":
        import jax

        function = jax.jit(lambda weights, *args: _with_weights(layer, weights, call, args))
        return _jax_program(function, [w.value for w in layer.trainable_variables], *arguments)
    return _tensorflow_function(call, arguments, jit)


def compile_train(
    call: Callable[..., Tensor], layer: keras.layers.Layer, arguments: Sequence[Any], jit: bool
) -> Callable[[], Any]:
    """Compiles the forward pass and the gradients of weights, instances and mixing weights."""
    if keras.backend.backend() == "jax":
        import jax

        def loss(weights: list[Tensor], floats: list[Tensor], args: Sequence[Any]) -> Tensor:
            return _with_weights(layer, weights, call, _replace_floats(args, floats)).sum()

        function = jax.jit(jax.grad(loss, argnums=(0, 1)))
        weights = [w.value for w in layer.trainable_variables]
        return _jax_program(function, weights, _floats(arguments), arguments)
    import tensorflow as tf

    def gradients(*args: Any) -> Any:
        watched = [*_floats(args), *(w.value for w in layer.trainable_variables)]
        with tf.GradientTape() as tape:
            tape.watch(_floats(args))
            output = call(*args)
        return tape.gradient(output, watched)  # none of what this way of execution doesn't read

    return _tensorflow_function(gradients, arguments, jit)


def compiled_text(function: Callable[[], Any]) -> str:
    """Returns the program of XLA that `compile_forward` or `compile_train` made with JAX, elsewhere `""`."""
    program = getattr(function, "func", None)
    return str(program.as_text()) if hasattr(program, "as_text") else ""


def _jax_program(function: Any, *arguments: Any) -> Callable[[], Any]:
    return functools.partial(function.lower(*arguments).compile(), *arguments)


def _tensorflow_function(call: Callable[..., Any], arguments: Sequence[Any], jit: bool) -> Callable[[], Any]:
    import tensorflow as tf

    # The batch is unknown, as in training and serving.
    specs = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), list(arguments))
    compiled = tf.function(call, input_signature=specs, jit_compile=jit, autograph=False)
    concrete = compiled.get_concrete_function()  # or Python matches arguments and signature at each call
    return lambda: concrete(*arguments)


def _floats(arguments: Sequence[Any]) -> list[Tensor]:
    """The differentiable ones: h, and the mixing weights where routing is given."""
    return [t for a in arguments for t in ([a[m] for m in MIXING] if isinstance(a, dict) else [a])]


def _replace_floats(arguments: Sequence[Any], floats: Sequence[Tensor]) -> list[Any]:
    rest = iter(floats)
    return [
        {**a, **{name: next(rest) for name in MIXING}} if isinstance(a, dict) else next(rest)
        for a in arguments
    ]


def _with_weights(layer: Any, weights: Sequence[Tensor], call: Callable[..., Tensor], args: Any) -> Tensor:
    mapping = list(zip(layer.trainable_variables, weights, strict=True))
    with keras.StatelessScope(state_mapping=mapping):
        return call(*args)


class PlainPair:
    """The ideal: one expert-sized MLP over as many rows as there are pairs. No routing, no packing."""

    def __init__(self, case: Case, pairs: int, policy: str = "float32") -> None:
        self.layer = keras.Sequential(
            [
                keras.layers.Dense(u, activation="relu" if u is not case.units[-1] else None, dtype=policy)
                for u in case.units
            ]
        )
        self.layer.build((None, case.width))
        self.arguments = [keras.random.normal((pairs, case.width))]

    def __call__(self, rows: Tensor) -> Tensor:
        return self.layer(rows)
