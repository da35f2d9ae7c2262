"""Choices that no router made, experts to run them, and what the oracle computes for them."""

import functools
import itertools

import keras
import numpy as np

from keras_smes import execution
from support import oracle
from support.backends import evaluator

RELU = keras.activations.relu


LINEAR = keras.activations.linear


def choice_of(chosen, seed=0, bound=None):
    """Any weights at all on `chosen` `[B, T, E]`: negative too, and of any sum."""
    weights = np.where(chosen, np.random.default_rng(seed).normal(size=chosen.shape), 0)
    union = chosen.any(axis=1)
    bound = max(1, union.sum(axis=1).max(initial=0)) if bound is None else bound
    lists = oracle.executed(union, bound).astype(np.int32)
    weights = weights.astype(np.float32)
    slots = np.eye(union.shape[1] + 1, dtype=np.float32)[lists][..., :-1]  # an empty slot has no expert
    return execution.Choice(weights, np.einsum("bte,bme->btm", weights, slots), union, lists)


def weights_of(num_experts, widths, seed=0):
    rng = np.random.default_rng(seed)
    kernels = [rng.normal(size=(num_experts, *pair)) for pair in itertools.pairwise(widths)]
    biases = [rng.normal(size=(num_experts, width)) for width in widths[1:]]
    return [k.astype(np.float32) for k in kernels], [b.astype(np.float32) for b in biases]


def experts_of(kernels, biases, normalize=False, hidden=RELU, last=LINEAR):
    activations = [hidden] * (len(kernels) - 1) + [last]
    layers = zip(kernels, biases, activations, strict=True)
    return execution.Experts(tuple(execution.ExpertLayer(*layer) for layer in layers), normalize)


@functools.cache
def runner(way, **mlp):
    """One function a way, so that JAX compiles once for all calls of the same shapes."""

    def function(h, choice, kernels, biases):
        return execution.run(way, h, execution.Choice(*choice), experts_of(kernels, biases, **mlp))

    return evaluator(function)


def run(way, h, choice, kernels, biases, **mlp):
    return runner(way, **mlp)(h, tuple(choice), list(kernels), list(biases))


def expected_of(h, choice, kernels, biases, **mlp):
    chosen = np.broadcast_to(choice.union_be[:, None], choice.weights_bte.shape)
    return oracle.forward(h, chosen, choice.weights_bte, kernels, biases, **mlp)


def inputs_of(batch, width, seed=0):
    return np.random.default_rng(seed + 1).normal(size=(batch, width)).astype(np.float32)


def random_chosen(seed, batch=7, num_tasks=3, num_experts=6, share=0.3):
    return np.random.default_rng(seed).random((batch, num_tasks, num_experts)) < share
