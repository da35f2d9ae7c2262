"""Routers run alone: found wherever they are, measured as the oracle measures, and gone without a trace."""

import keras
import numpy as np
import pytest
from support import oracle
from support.backends import to_numpy

from keras_smes import SMES, ExpertPool, PrivateExpertGate, SharedSubsetRouter
from keras_smes.baselines import NaiveSparse
from keras_smes.diagnostics import RoutingProbe, has_routing, sample_rows

TASKS, EXPERTS, WIDTH = 3, 6, 5


def smes(name="experts"):
    return SMES(TASKS, EXPERTS, num_shared=1, num_private=1, expert_units=(4,), name=name)


@pytest.fixture(scope="module")
def h_bd():
    return np.random.default_rng(0).normal(size=(2500, WIDTH)).astype("float32")  # over two batches


def test_figures_are_those_of_the_oracle(h_bd):
    inputs = keras.Input((WIDTH,))
    layer = smes()
    health = RoutingProbe(keras.Model(inputs, layer(inputs))).measure(h_bd)["experts"]
    routing = oracle.route(h_bd, to_numpy(layer.router.kernel), 1, 1)
    union_be, p_bte = routing.union, routing.probabilities
    assert health["rows"] == len(h_bd)
    np.testing.assert_allclose(health["expert_load"], union_be.sum(axis=0) / union_be.sum())
    assert health["union_sizes"] == np.bincount(union_be.sum(axis=1), minlength=EXPERTS + 1).tolist()
    entropy_t = -(p_bte * np.log(p_bte)).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(health["router_entropy_per_task"], entropy_t, rtol=1e-5)


def load_of(layer, h_bd):
    union_be = oracle.route(h_bd, to_numpy(layer.router.kernel), 1, 1).union
    return union_be.sum(axis=0) / union_be.sum()


def test_rows_that_do_not_count_are_left_out(h_bd):
    inputs = keras.Input((WIDTH,))
    layer = smes()
    counted = np.arange(len(h_bd)) % 5 > 1
    health = RoutingProbe(keras.Model(inputs, layer(inputs))).measure(h_bd, mask=counted)["experts"]
    assert health["rows"] == counted.sum()
    np.testing.assert_allclose(health["expert_load"], load_of(layer, h_bd[counted]))


@pytest.mark.parametrize("implicit", [False, True])
def test_rows_that_the_model_masks_are_left_out(h_bd, implicit):
    inputs, real, layer = keras.Input((WIDTH,), name="h"), keras.Input((), dtype="bool", name="real"), smes()
    masked = keras.layers.Lambda(lambda x: x[0], mask=lambda x, mask: x[1], output_shape=(WIDTH,))
    outputs = layer(masked([inputs, real])) if implicit else layer(inputs, mask=real)
    probe = RoutingProbe(keras.Model({"h": inputs, "real": real}, outputs))
    kept = np.arange(len(h_bd)) % 3 > 0
    assert set(probe.route({"h": h_bd[:2], "real": kept[:2]})["experts"]) == set(layer.route(h_bd[:2]))
    health = probe.measure({"h": h_bd, "real": kept})["experts"]
    np.testing.assert_allclose(health["expert_load"], load_of(layer, h_bd[kept]))
    counted = np.arange(len(h_bd)) % 2 > 0
    both = probe.measure({"h": h_bd, "real": kept}, mask=counted)["experts"]
    np.testing.assert_allclose(both["expert_load"], load_of(layer, h_bd[kept & counted]))


def test_a_sample_is_of_the_rows_that_count():
    mask = np.arange(10) % 2 > 0
    assert sample_rows({"x": np.arange(10)}, 3, mask)["x"].tolist() == [1, 5, 9]
    weights = [{"click": np.array([0.0, 1.0, 0.0]), "like": np.array([0.0, 0.0, 2.0])}, np.zeros((3, 1))]
    batches = [(np.arange(3) + 3 * n, np.zeros(3), weight) for n, weight in enumerate(weights)]
    assert sample_rows(iter(batches), 5).tolist() == [1, 2]


def test_layers_are_found_in_models_within_models_and_by_each_call(h_bd):
    inputs = keras.Input((WIDTH,), name="raw")
    deep = keras.Sequential([keras.Input((WIDTH,)), smes("deep"), keras.layers.Flatten()], name="deepest")
    middle_input = keras.Input((WIDTH,), name="x")
    middle = keras.Model({"x": middle_input}, deep(keras.layers.Dense(WIDTH)(middle_input)), name="core")
    shared = smes("shared")
    outputs = [middle({"x": inputs}), shared(inputs), shared(keras.layers.Dense(WIDTH)(inputs))]
    probe = RoutingProbe(keras.Model({"raw": inputs}, outputs))
    assert sorted(probe.layers) == ["core/deepest/deep", "shared", "shared (call 2)"]
    health = probe.measure({"raw": h_bd[:50]})
    h_of_deep = to_numpy(middle.layers[1](h_bd[:50]))
    union_be = oracle.route(h_of_deep, to_numpy(deep.layers[0].router.kernel), 1, 1).union
    np.testing.assert_allclose(
        health["core/deepest/deep"]["expert_load"], union_be.sum(axis=0) / union_be.sum()
    )
    assert health["shared"] != health["shared (call 2)"]


def test_layers_composed_by_hand_and_baselines_that_choose_are_found(h_bd):
    inputs = keras.Input((WIDTH,))
    routing = SharedSubsetRouter(TASKS, EXPERTS, num_shared=2)(inputs)
    routing = PrivateExpertGate([0, 1, 2], name="choice")(routing)
    mixed = ExpertPool(EXPERTS, (4,))(inputs, routing)
    naive = NaiveSparse(TASKS, EXPERTS, 2, expert_units=(4,), name="naive")(inputs)
    health = RoutingProbe(keras.Model(inputs, [mixed, naive])).measure(h_bd[:100])
    assert (health["choice"]["union_bound"], health["naive"]["union_bound"]) == (5, 6)
    assert health["choice"]["union_max"] <= 5


def test_the_routing_of_a_row_is_what_the_layer_says(h_bd):
    inputs = keras.Input((WIDTH,))
    layer = smes()
    routing = RoutingProbe(keras.Model(inputs, layer(inputs))).route(h_bd[:3])["experts"]
    expected = to_numpy(layer.route(h_bd[:3]))
    assert routing.keys() == expected.keys()
    np.testing.assert_allclose(routing["weights"], expected["weights"], rtol=1e-6)
    np.testing.assert_array_equal(routing["shared"], expected["shared"])


def test_a_probe_leaves_no_trace_in_the_model(h_bd, tmp_path):
    inputs = keras.Input((WIDTH,))
    routing = PrivateExpertGate(1)(SharedSubsetRouter(TASKS, EXPERTS, 1)(inputs))
    model = keras.Model(inputs, [ExpertPool(EXPERTS, (4,))(inputs, routing), smes()(inputs)])
    before = model.get_config(), [weight.path for weight in model.weights]
    RoutingProbe(model).measure(h_bd[:8])
    assert (model.get_config(), [weight.path for weight in model.weights]) == before
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(to_numpy(again(h_bd[:8])[0]), to_numpy(model(h_bd[:8])[0]))


@pytest.mark.tensorflow
def test_the_exported_graph_is_the_same_with_and_without_a_probe(h_bd, tmp_path):
    import tensorflow as tf

    inputs = keras.Input((WIDTH,))
    model = keras.Model(inputs, smes()(inputs))

    def operations(name):
        model.export(tmp_path / name, verbose=False)
        served = tf.saved_model.load(tmp_path / name).signatures["serving_default"]
        return [operation.type for operation in served.graph.get_operations()]

    before = operations("before")
    RoutingProbe(model).measure(h_bd[:8])
    assert operations("after") == before


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.experts = smes()

    def call(self, inputs):
        return self.experts(inputs)


def test_a_model_that_can_not_be_looked_into_is_refused_by_name():
    inputs = keras.Input((WIDTH,))
    dense = keras.Model(inputs, keras.layers.Dense(1)(inputs), name="dense")
    assert not has_routing(dense)
    assert not has_routing(Subclassed())
    assert has_routing(keras.Model(inputs, smes()(inputs)))
    with pytest.raises(ValueError, match="Functional 'dense'"):
        RoutingProbe(dense)
    with pytest.raises(ValueError, match="Subclassed 'mine'"):
        RoutingProbe(Subclassed())


def test_a_sample_is_spread_over_arrays_and_begins_a_data_set():
    x = np.arange(100)
    assert sample_rows([x], 5)[0].tolist() == [0, 24, 49, 74, 99]
    assert sample_rows(x, 1000).tolist() == x.tolist()
    batches = [({"x": x[start : start + 30]}, x) for start in (0, 30, 60)]
    assert sample_rows(iter(batches), 40)["x"].tolist() == list(range(40))
    with pytest.raises(ValueError, match="without batches"):
        sample_rows(iter([]), 4)
    with pytest.raises(ValueError, match="`rows`"):
        sample_rows(x, 0)
