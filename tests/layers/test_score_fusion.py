import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from support.backends import assert_close, evaluate, gradients
from support.layer_contract import assert_runs_everywhere, assert_saves, assert_shapes

from keras_smes.layers import ScoreFusion

SCORES = {"click": np.float32([0.5, 0.2, 0.0]), "like": np.float32([0.0, 0.3, 0.8])}
PRODUCT = {"exponents": {"click": 2.0, "like": 0.5}, "offsets": 1.0}


def test_product_by_hand():
    fuse = ScoreFusion({"click": 1.0, "like": 10.0}, **PRODUCT)
    assert_close(evaluate(fuse, SCORES), [1.5**2 * 1, 1.2**2 * 4**0.5, 1 * 9**0.5], 1e-6)


def test_sum_by_hand():
    fuse = ScoreFusion({"click": 1.0, "like": -2.0}, exponents={"click": 2.0, "like": 1.0}, method="sum")
    assert_close(evaluate(fuse, SCORES), [0.25, 0.04 - 0.6, -1.6], 1e-6)


def test_a_sum_keeps_the_order_of_negative_scores():
    scores = {"click": np.full(3, 0.5, "float32"), "margin": np.float32([-5, -1, 2])}
    weights = {"click": 1.0, "margin": 1.0}
    assert_close(evaluate(ScoreFusion(weights, method="sum"), scores), [-4.5, -0.5, 2.5], 1e-6)
    squared = ScoreFusion(weights, exponents={"click": 1.0, "margin": 2.0}, method="sum")
    assert_close(evaluate(squared, scores), [-24.5, -0.5, 4.5], 1e-6)
    against = ScoreFusion({"click": 1.0, "margin": -2.0}, method="sum")
    assert_close(evaluate(against, scores), [10.5, 2.5, -3.5], 1e-6)


def test_a_plain_sum_is_exact_for_scores_of_any_size():
    scores = np.float32([-1e-33, -2e-34, 0, 2e-34, 1e-33, 1e30])
    np.testing.assert_array_equal(evaluate(ScoreFusion({"a": 1.0}, method="sum"), {"a": scores}), scores)


def test_the_plain_product_is_that_of_probabilities():
    assert_close(evaluate(ScoreFusion({"click": 1.0, "like": 1.0}), SCORES), [0, 0.06, 0], 1e-6)


def test_scores_without_a_weight_do_not_count():
    fuse = ScoreFusion({"click": 3.0})
    assert_close(evaluate(fuse, SCORES), [1.5, 0.6, 0], 1e-6)


def test_a_negative_exponent_counts_against():
    fuse = ScoreFusion({"click": 1.0, "like": 1.0}, exponents={"click": 1.0, "like": -2.0}, offsets=1.0)
    assert_close(evaluate(fuse, SCORES), [1.5, 1.2 / 1.69, 1 / 1.8**2], 1e-6)


@pytest.mark.parametrize("method", ["product", "sum"])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.tuples(st.floats(0, 5, width=32), st.floats(0, 5, width=32)),
    st.tuples(st.floats(0, 3, width=32), st.floats(0, 3, width=32)),
    st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=6),
    st.floats(0, 1, width=32),
)
def test_the_fused_score_rises_with_each_score(method, weights, exponents, click, like):
    tasks = ("click", "like")
    fuse = ScoreFusion(
        dict(zip(tasks, weights, strict=True)), dict(zip(tasks, exponents, strict=True)), method=method
    )
    rising = np.sort(np.float32(click))
    other = np.full_like(rising, like)
    for scores in ({"click": rising, "like": other}, {"click": other, "like": rising}):
        found = evaluate(fuse, scores).astype("float64")
        assert (np.diff(found) >= -1e-6 * np.abs(found).max()).all()


@pytest.mark.parametrize("method", ["product", "sum"])
def test_no_score_gives_nan_or_infinity(method):
    extremes = np.float32([0, -1, 1e-38, 1e30, -1e30])
    for exponent in (0.0, 0.3, 1.0, 2.0, -1.0, -3.0):
        fuse = ScoreFusion({"a": 1.0, "b": 1.0}, exponents=exponent, method=method)
        scores = {"a": np.repeat(extremes, 5), "b": np.tile(extremes, 5)}
        assert np.isfinite(evaluate(fuse, scores)).all()


@pytest.mark.parametrize("method", ["product", "sum"])
def test_a_score_of_0_has_a_finite_gradient(method):
    for exponent in (0.0, 0.3, 1.0, 2.0):
        fuse = ScoreFusion({"a": 1.0, "b": 1.0}, exponents=exponent, method=method)
        lowest = np.float32([0, 1e-38, 1e-3, -1e-38, -1e-3])
        (slope,) = gradients(lambda x, fuse=fuse: ops.sum(fuse({"a": x[0], "b": x[0]})), [lowest])
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("method", ["product", "sum"])
def test_it_runs_everywhere_and_saves(method, tmp_path):
    def fuse():
        return ScoreFusion({"click": 1.0, "like": 2.0}, exponents=0.5, method=method)

    assert_runs_everywhere(fuse(), (SCORES,))
    assert_shapes(fuse(), (SCORES,))
    assert_saves(fuse(), (SCORES,), tmp_path)


def test_config():
    product = ScoreFusion({"like": 2, "click": 1}, **PRODUCT)
    total = ScoreFusion({"like": 2, "click": -1}, exponents=0.5, method="sum")
    for fuse in (product, total):
        config = json.loads(json.dumps(fuse.get_config()))
        again = ScoreFusion.from_config(config)
        assert again.get_config() == config
        np.testing.assert_array_equal(evaluate(again, SCORES), evaluate(fuse, SCORES))


def test_it_computes_in_float32_under_half_precision():
    close = {"click": np.float32([0.5, 0.5001]), "like": np.float32([1, 1])}
    found = evaluate(ScoreFusion({"click": 1.0, "like": 1.0}, dtype="mixed_bfloat16"), close)
    assert found.dtype == np.float32
    assert found[0] < found[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": {}}, "weights={}"),
        ({"weights": ["click"]}, r"weights=\['click'\]"),
        ({"weights": {"click": -1.0}}, r"weights\[click\]=-1.0"),
        ({"weights": {"click": float("inf")}, "method": "sum"}, r"weights\[click\]=inf"),
        ({"weights": {"click": 1.0}, "exponents": float("nan")}, "exponents=nan"),
        ({"weights": {"click": 1.0}, "exponents": {"like": 1.0}}, r"tasks of `weights`.*'like'"),
        ({"weights": {"click": 1.0}, "offsets": {"click": -0.5}}, r"offsets\[click\]=-0.5"),
        ({"weights": {"click": 1.0}, "offsets": 1.0, "method": "sum"}, "need method='product'.*offsets=1.0"),
        ({"weights": {"click": 1.0}, "method": "max"}, "method='max'"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScoreFusion(**arguments)


def test_a_missing_score_is_named():
    with pytest.raises(ValueError, match=r"missing=\['buy'\]"):
        ScoreFusion({"click": 1.0, "buy": 1.0})(SCORES)
