"""`rank`: the candidates of one user, by a signature made for it or by the ordinary one."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import tensorflow as tf

from keras_smes_serving.client import AsyncClient, Client
from keras_smes_serving.server.embedded import EmbeddedServer


def spec(name, dtype, *shape):
    return tf.TensorSpec(shape, dtype, name=name)


class Model(tf.Module):
    """`like` is user + price, `click` the length of the city plus the sum of history, minus price."""

    @tf.function(
        autograph=False,
        input_signature=[
            spec("user", tf.int64, None),
            spec("city", tf.string, None),
            spec("history", tf.float32, None, None),
            spec("price", tf.float32, None),
        ],
    )
    def rows(self, user, city, history, price):
        known = tf.cast(tf.strings.length(city), tf.float32) + tf.reduce_sum(history, axis=1)
        return {"like": tf.cast(user, tf.float32) + price, "click": known - price}

    @tf.function(
        autograph=False,
        input_signature=[
            spec("user", tf.int64, 1),
            spec("city", tf.string, 1),
            spec("history", tf.float32, 1, None),
            spec("price", tf.float32, None),
        ],
    )
    def once(self, user, city, history, price):
        scores = self.rows(*[tf.repeat(x, tf.shape(price)[0], axis=0) for x in (user, city, history)], price)
        fused = scores["click"] * 2.0
        return {**scores, "fused": fused, "order": tf.argsort(fused, direction="DESCENDING", stable=True)}


@pytest.fixture(scope="module", params=["serving_default", "rank"])
def address(request, tmp_path_factory):
    model, folder = Model(), tmp_path_factory.mktemp("model")
    signatures = {"serving_default": model.rows}
    if request.param == "rank":
        signatures["rank"] = model.once
    tf.saved_model.save(model, str(folder / "1"), signatures=signatures)
    with EmbeddedServer("model", folder) as server:
        yield server.address


USER = {"user": 7, "city": "oslo", "history": [1.0, 2.0]}
PRICE = np.array([5.0, 1.0, 3.0, 1.0], "float32")


def test_candidates_come_in_order_with_their_scores(address):
    with Client(address) as client:
        ranking = client.rank("model", USER, {"price": PRICE}, by="click")
    assert ranking.order.tolist() == [1, 3, 2, 0]  # a tie goes to the earlier one
    np.testing.assert_allclose(ranking.scores["click"], 4 + 3 - PRICE)
    np.testing.assert_allclose(ranking.scores["like"], 7 + PRICE)
    np.testing.assert_allclose(ranking.fused, ranking.scores["click"])
    assert "order" not in ranking.scores


def test_rows_of_one_are_the_same_as_values(address):
    rows = {"user": [7], "city": np.array(["oslo"]), "history": [[1.0, 2.0]]}
    with Client(address) as client:
        ranking = client.rank("model", rows, {"price": PRICE}, by="like")
        assert ranking.order.tolist() == [0, 2, 1, 3]
        assert client.rank("model", USER, {"price": PRICE}, by="like").order.tolist() == [0, 2, 1, 3]
    other = asyncio.run(ranked(address, rows))
    np.testing.assert_array_equal(other.fused, ranking.fused)


async def ranked(address, rows):
    async with AsyncClient(address) as client:
        return await client.rank("model", rows, {"price": PRICE}, by="like")


def test_without_by_the_model_decides_or_the_caller_must(address):
    with Client(address) as client:
        if "rank" in client.metadata("model"):
            ranking = client.rank("model", USER, {"price": PRICE})
            assert ranking.order.tolist() == [1, 3, 2, 0]
            np.testing.assert_allclose(ranking.fused, 2 * (7 - PRICE))
        else:
            with pytest.raises(
                ValueError, match=r"`by` must be an output .*: click, like. Received: by=None"
            ):
                client.rank("model", USER, {"price": PRICE})


@pytest.mark.parametrize(
    ("user", "candidates", "text"),
    [
        (USER, {}, "`candidates` must hold at least one feature"),
        (USER, {"price": PRICE, "user": [1, 2, 3, 4]}, "must not share a feature. Received: `user`"),
        ({**USER, "age": 3}, {"price": PRICE}, "`user` must hold features of the model: .*Received: `age`"),
        (
            {**USER, "user": [7, 8]},
            {"price": PRICE},
            r"Feature `user` of `user` must have one row. .*\[7, 8\]",
        ),
        ({**USER, "city": 3}, {"price": PRICE}, "Feature `city` must be string"),
        ({"user": 7, "city": "oslo"}, {"price": PRICE}, "lacks the feature `history`"),
    ],
)
def test_what_does_not_fit_is_named(address, user, candidates, text):
    with Client(address) as client, pytest.raises(ValueError, match=text):
        client.rank("model", user, candidates, by="click")


def test_nan_is_refused_where_it_is_not_wanted(address):
    prices = np.array([1.0, np.nan], "float32")
    with Client(address) as client:
        assert np.isnan(client.rank("model", USER, {"price": prices}, by="click").fused[1])
    with (
        Client(address, allow_nan=False) as client,
        pytest.raises(ValueError, match=r"Feature `price` must not be NaN. Received: price\[1\]=nan"),
    ):
        client.rank("model", USER, {"price": prices}, by="click")


def test_version_and_label_exclude_each_other(address):
    with Client(address) as client, pytest.raises(ValueError, match="can't both be given"):
        client.metadata("model", version=1, label="stable")
