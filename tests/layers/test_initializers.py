"""Stacked weights start as each member would alone."""

import itertools

import keras
import numpy as np
import pytest
from support.backends import to_numpy

from keras_smes import SMES, ExpertPool, SharedSubsetRouter

# What one `[in, out]` kernel has: variance `scale / n`, with n of in, out or their mean.
VARIANCES = {
    "glorot_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "glorot_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he_uniform": lambda fan_in, fan_out: 2 / fan_in,
    "he_normal": lambda fan_in, fan_out: 2 / fan_in,
    "lecun_normal": lambda fan_in, fan_out: 1 / fan_in,
}


def pool_of(num_experts=64, width=40, units=(20, 10), **kwargs):
    layer = ExpertPool(num_experts, units, **kwargs)
    layer.build((None, width))
    return layer


def no_two_alike(members):
    return all((one != other).any() for one, other in itertools.combinations(members, 2))


@pytest.mark.parametrize("name", VARIANCES)
def test_experts_have_the_variance_of_a_single_kernel(name):
    """51,200 and 12,800 numbers: a sample variance within 5 %."""
    for kernel in to_numpy(pool_of(kernel_initializer=name).kernels):
        expected = VARIANCES[name](*kernel.shape[1:])
        assert np.var(kernel) == pytest.approx(expected, rel=0.05)
        # Of single experts too: 800 or 200 numbers.
        assert np.var(kernel, axis=(1, 2)) == pytest.approx(np.full(64, expected), rel=0.5)


def test_uniform_kernels_fill_the_range_of_a_single_kernel():
    for kernel in to_numpy(pool_of(kernel_initializer="glorot_uniform").kernels):
        limit = np.sqrt(6 / sum(kernel.shape[1:]))
        assert 0.99 * limit < np.abs(kernel).max() <= limit * 1.000001


def test_routers_have_the_range_and_variance_of_a_single_router():
    layer = SharedSubsetRouter(num_tasks=8, num_experts=24, num_shared=1)
    layer.build((None, 40))
    kernel = to_numpy(layer.kernel)
    assert kernel.shape == (40, 8, 24)
    limit = np.sqrt(6 / (40 + 24))
    assert 0.99 * limit < np.abs(kernel).max() <= limit * 1.000001
    assert np.var(kernel) == pytest.approx(2 / (40 + 24), rel=0.05)
    assert no_two_alike(kernel.transpose(1, 0, 2))


@pytest.mark.parametrize(
    "initializer",
    [
        keras.initializers.GlorotUniform(seed=1),
        keras.initializers.HeNormal(seed=2),
        keras.initializers.RandomNormal(stddev=0.1, seed=3),
        keras.initializers.TruncatedNormal(seed=4),
        "glorot_uniform",
    ],
    ids=lambda initializer: getattr(initializer, "__class__", type(initializer)).__name__,
)
def test_no_two_experts_are_alike_whatever_the_seed(initializer):
    """A seeded object draws the same numbers every time it is asked: it must be asked once."""
    # One shape for all three stacks: JAX compiles a draw for each.
    pool = pool_of(8, 8, (8, 8), kernel_initializer=initializer)
    router = SharedSubsetRouter(8, 8, 1, kernel_initializer=initializer)
    router.build((None, 8))
    for kernel in to_numpy(pool.kernels):
        assert no_two_alike(kernel)
    assert no_two_alike(to_numpy(router.kernel).transpose(1, 0, 2))


def test_a_seed_gives_the_same_weights_again():
    one, other = (pool_of(8, kernel_initializer=keras.initializers.GlorotUniform(seed=1)) for _ in range(2))
    for kernel, again in zip(to_numpy(one.kernels), to_numpy(other.kernels), strict=True):
        np.testing.assert_array_equal(kernel, again)


def test_the_seed_of_a_program_gives_the_same_weights_again():
    def kernels():
        keras.utils.set_random_seed(7)
        return to_numpy(pool_of(8).kernels)

    for kernel, again in zip(kernels(), kernels(), strict=True):
        np.testing.assert_array_equal(kernel, again)


def test_layers_that_share_an_initializer_object_differ():
    initializer = keras.initializers.GlorotUniform()
    one, other = (pool_of(4, kernel_initializer=initializer) for _ in range(2))
    assert (to_numpy(one.kernels[0]) != to_numpy(other.kernels[0])).any()


def test_layers_of_an_expert_differ_where_they_share_an_initializer_object():
    pool = pool_of(4, 8, (8, 8), kernel_initializer=keras.initializers.GlorotUniform())
    assert (to_numpy(pool.kernels[0]) != to_numpy(pool.kernels[1])).any()


def test_biases_start_as_they_are_told():
    assert all((bias == 0).all() for bias in to_numpy(pool_of().biases))
    pool = pool_of(bias_initializer=keras.initializers.Constant(0.25))
    assert all((bias == 0.25).all() for bias in to_numpy(pool.biases))


def test_orthogonal_kernels_are_orthogonal_each():
    (kernel,) = to_numpy(pool_of(4, 8, (8,), kernel_initializer="orthogonal").kernels)
    for member in kernel:
        np.testing.assert_allclose(member @ member.T, np.eye(8), atol=1e-5)


def test_biases_have_the_variance_of_a_single_bias():
    """Keras gives a bias `[out]` fans of `out` and `out`."""
    (bias,) = to_numpy(pool_of(64, 8, (50,), bias_initializer="glorot_uniform").biases)
    assert np.var(bias) == pytest.approx(1 / 50, rel=0.1)


def test_smes_hands_initializers_to_its_parts():
    constant = keras.initializers.Constant
    layer = SMES(
        *(2, 4, 1, 1, (5, 3)),
        router_initializer=constant(1.0),
        kernel_initializer=constant(2.0),
        bias_initializer=constant(3.0),
    )
    layer.build((None, 6))
    assert (to_numpy(layer.router.kernel) == 1).all()
    assert all((kernel == 2).all() for kernel in to_numpy(layer.experts.kernels))
    assert all((bias == 3).all() for bias in to_numpy(layer.experts.biases))
