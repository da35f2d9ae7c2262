"""Load balancing: one loss over all tasks' routers keeps expert utilisation even.

Pure functions on float32 tensors; they follow the section "Balance" of the specification line by line.

Source: SMES (arXiv 2602.09386), after the load-balancing loss of Switch Transformers (arXiv 2101.03961).
"""

from keras import ops

from keras_smes.backend.replicas import mean_over_replicas, share_of_replica
from keras_smes.types import Tensor


def mean_over_instances(values_bte: Tensor, mask_b: Tensor | None = None) -> Tensor:
    """Mean over instances and tasks, `[E]`, without instances whose mask is false (padding).

    An empty batch, or one of padding only, has mean 0.
    """
    mean_be = ops.mean(ops.cast(values_bte, "float32"), axis=1)
    counts_b = _counts(values_bte, mask_b)
    return ops.sum(mean_be * counts_b[:, None], axis=0) / ops.maximum(ops.sum(counts_b), 1.0)


def _counts(values_bte: Tensor, mask_b: Tensor | None) -> Tensor:
    """Which instances count, float32 `[B]`."""
    return ops.cast(ops.ones_like(values_bte[:, 0, 0]) if mask_b is None else mask_b, "float32")


def global_balance_loss(
    probabilities_bte: Tensor, chosen_bte: Tensor, mask_b: Tensor | None = None
) -> Tensor:
    """Balance loss over all routers jointly, a float32 scalar; 1 when everything is uniform.

    ```
    f[e] = mean over (b,t) of 1[e in K_t(b)]      (no gradient)
    p[e] = mean over (b,t) of p[b,t,e]            (the full softmax; gradient)
    L_lb = (E / mean_t K_t) * sum_e f[e] * p[e]
    ```

    `mean_t K_t` is `sum_e f[e]`: each task of each instance has exactly `K_t` experts.

    Under replicas f is over the global batch, by an all-reduce of E numbers and one of a count. p is over
    this replica's instances, weighted by its share: the mean over replicas is the loss of the global batch.

    Args:
        probabilities_bte: `[B, T, E]` float32 routing probabilities.
        chosen_bte: `[B, T, E]` bool, the experts of each task.
        mask_b: `[B]` bool, false for rows that pad the batch. Defaults to `None`, all rows count.

    Returns:
        Float32 scalar. An empty batch, or one of padding only, has loss zero.
    """
    num_experts = probabilities_bte.shape[-1]
    share = share_of_replica(ops.sum(_counts(chosen_bte, mask_b)))
    load_e = ops.stop_gradient(mean_over_replicas(share * mean_over_instances(chosen_bte, mask_b)))
    probability_e = share * mean_over_instances(probabilities_bte, mask_b)
    picks = ops.maximum(ops.sum(load_e), 1e-9)
    return num_experts / picks * ops.sum(load_e * probability_e)


def task_balance_loss(probabilities_bte: Tensor, chosen_bte: Tensor, mask_b: Tensor | None = None) -> Tensor:
    """Balance loss of each task's router separately, averaged over tasks: a baseline.

    ```
    f[t,e] = mean over b of 1[e in K_t(b)]        (no gradient)
    p[t,e] = mean over b of p[b,t,e]              (the full softmax; gradient)
    L_task = mean_t (E / K_t) * sum_e f[t,e] * p[t,e]
    ```

    It makes every task spread its own choices over all experts. The global loss does not: two tasks that
    use one half of the experts each have loss 1 there and 2 here.

    Args:
        probabilities_bte: `[B, T, E]` float32 routing probabilities.
        chosen_bte: `[B, T, E]` bool, the experts of each task.
        mask_b: `[B]` bool, false for rows that pad the batch. Defaults to `None`, all rows count.

    Returns:
        Float32 scalar. An empty batch, or one of padding only, has loss zero.
    """
    tasks = [slice(t, t + 1) for t in range(chosen_bte.shape[1])]
    losses = [global_balance_loss(probabilities_bte[:, t], chosen_bte[:, t], mask_b) for t in tasks]
    return ops.mean(ops.stack(losses))
