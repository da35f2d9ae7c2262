"""The reference: every expert on every instance, with the weights as a mask.

Work and memory grow with B * E. It is the fastest execution if nearly all experts are chosen, and all others
must equal it. Here an expert with weights that are not finite affects all instances, elsewhere only those
that chose it.
"""

import keras
from keras import ops

from keras_smes.execution.experts import Choice, Experts
from keras_smes.types import Tensor


def run(inputs_bd: Tensor, choice: Choice, experts: Experts) -> Tensor:
    """Returns `y[b,t,:] = sum_e weights[b,t,e] * f_e(inputs[b])`, float32 `[B, T, out]`."""
    rows_ebd = inputs_bd[None]
    for kernel_eio, bias_eo, activation in experts.layers:
        rows_ebd = activation(ops.matmul(rows_ebd, kernel_eio) + bias_eo[:, None])
    outputs_ebo = ops.cast(experts.finish(rows_ebd), "float32")
    if keras.backend.standardize_dtype(inputs_bd.dtype) == "float16":
        # Float16 overflows easily, and zero times infinity is not zero.
        chosen_eb1 = ops.transpose(choice.union_be)[:, :, None]
        outputs_ebo = ops.where(chosen_eb1, outputs_ebo, 0.0)
    return ops.einsum("bte,ebo->bto", choice.weights_bte, outputs_ebo)
