"""Arithmetic: multiply-adds of matrix products."""

from keras_smes.planning.sizes import products
from keras_smes.planning.workload import Workload

BACKWARD = 2  # times the forward pass: gradients of inputs and of weights


def multiplications(model: Workload) -> dict[str, int]:
    """Counts the multiplications per instance of a forward pass, by part, at the bound |U| of experts.

    ```
    encoder   sum in * out
    routers   (D + 1) T E                 with the joint score
    experts   |U| * sum in * out
    mixtures  |U| T out
    towers    T * sum in * out
    ```

    Args:
        model: The `Workload`.
    """
    d, out = model.encoder_units[-1], model.expert_units[-1]
    return {
        "encoder": products(model.width, model.encoder_units),
        "routers": (d + 1) * model.tasks * model.num_experts,
        "experts": model.executed * products(d, model.expert_units),
        "mixtures": model.executed * model.tasks * out,
        "towers": model.tasks * products(out, [*model.tower_units, 1]),
    }


def step_multiplications(model: Workload) -> int:
    """Counts the multiplications of a training step over all workers: forward, and twice that backward."""
    return (1 + BACKWARD) * model.batch_size * sum(multiplications(model).values())


def request_multiplications(model: Workload) -> int:
    """Counts the multiplications of a request."""
    return model.candidates * sum(multiplications(model).values())
