"""The callback in `fit`: what the logs, the file and TensorBoard get, and that training is none the wiser."""

import csv

import keras
import numpy as np
import pytest

from keras_smes import SMES
from keras_smes.diagnostics import RoutingMonitor, RoutingProbe, read_routing

pytestmark = pytest.mark.tensorflow

X = np.random.default_rng(1).normal(size=(256, 6)).astype("float32")
Y = np.random.default_rng(2).normal(size=(256, 2, 3)).astype("float32")
NAMES = ["click", "long, view"]  # a comma: CSV quotes it


def build():
    keras.utils.set_random_seed(4)
    inputs = keras.Input((6,))
    experts = SMES(2, 5, 1, 1, expert_units=(3,), balance_weight=1.0, name="experts")
    core = keras.Model(inputs, experts(keras.layers.Dropout(0.2)(inputs)), name="core")
    outer = keras.Input((6,))
    model = keras.Model(outer, core(outer))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


def fit(callbacks, epochs=3, **kwargs):
    model = build()
    history = model.fit(
        X, Y, batch_size=64, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **kwargs
    )
    return model, history.history


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    monitor = RoutingMonitor(X, NAMES, rows=100, csv=folder / "routing.csv", tensorboard=folder / "tb")
    log = keras.callbacks.CSVLogger(folder / "log.csv")
    model, history = fit([monitor, log])
    return folder, monitor, model, history


def test_figures_are_those_of_the_weights_at_the_end_of_the_epoch(watched):
    _, monitor, model, history = watched
    results = monitor.results["core/experts"]
    assert len(results) == 3
    rows = np.linspace(0, 255, 100).astype(int)
    assert results[-1] == RoutingProbe(model).measure(X[rows])["core/experts"]
    assert results[0] != results[-1]
    for name in ("dead_experts", "union_mean", "task_overlap", "router_entropy", "load_max_over_mean"):
        assert history[f"core/experts/{name}"] == [result[name] for result in results]


def test_other_callbacks_see_the_figures(watched):
    folder, monitor, _, _ = watched
    with (folder / "log.csv").open() as file:
        lines = list(csv.DictReader(file))
    expected = [result["load_gini"] for result in monitor.results["core/experts"]]
    assert [float(line["core/experts/load_gini"]) for line in lines] == pytest.approx(expected)


def test_training_is_the_same_to_the_bit(watched):
    _, _, model, history = watched
    alone, without = fit([])
    assert history["loss"] == without["loss"]
    for mine, other in zip(model.weights, alone.weights, strict=True):
        assert np.array(mine).tobytes() == np.array(other).tobytes()


def test_the_file_holds_every_measure(watched):
    folder, monitor, _, _ = watched
    found = {line[:5]: line.value for line in read_routing(folder / "routing.csv")}
    for epoch, result in enumerate(monitor.results["core/experts"]):
        at = (epoch, "core/experts")
        assert found[(*at, "union_mean", "", "")] == result["union_mean"]
        assert found[(*at, "expert_load", "", "3")] == result["expert_load"][3]
        assert found[(*at, "union_sizes", "", "2")] == result["union_sizes"][2]
        assert found[(*at, "task_overlap_matrix", *NAMES)] == result["task_overlap_matrix"][0][1]
        assert found[(*at, "router_entropy_per_task", NAMES[1], "")] == result["router_entropy_per_task"][1]
        assert found[(*at, "task_expert_share", NAMES[1], "4")] == result["task_expert_share"][1][4]
    # 9 scalars of loads and unions, rows, 2 of overlap and entropy; 5 + 6 + 4 + 2 + 10 entries
    assert len(found) == 3 * (11 + 27)


def test_tensorboard_gets_scalars_histograms_and_pictures(watched):
    import tensorflow as tf
    from tensorflow.python.summary.summary_iterator import summary_iterator

    folder, monitor, _, _ = watched
    (file,) = (folder / "tb").iterdir()
    values = {(v.tag, e.step): v for e in summary_iterator(str(file)) for v in e.summary.value}
    result = monitor.results["core/experts"][2]
    scalar = values["core/experts/dead_experts", 2]
    assert scalar.metadata.plugin_data.plugin_name == "scalars"
    assert tf.make_ndarray(scalar.tensor) == result["dead_experts"]
    sizes = values["core/experts/executed experts", 2]
    assert sizes.metadata.plugin_data.plugin_name == "histograms"
    np.testing.assert_array_equal(tf.make_ndarray(sizes.tensor)[:, 2], result["union_sizes"][:4])
    loads = tf.make_ndarray(values["core/experts/load over mean load", 2].tensor)
    assert loads[:, 2].sum() == 5
    picture = values["core/experts/experts by task", 2]
    assert picture.metadata.plugin_data.plugin_name == "images"
    assert NAMES[1] in picture.metadata.summary_description
    width, height, png = tf.make_ndarray(picture.tensor).tolist()
    pixels = tf.io.decode_png(png).numpy()
    assert pixels.shape == (int(height), int(width), 3)
    share_te = np.asarray(result["task_expert_share"])
    red_te = pixels[5::12, 30::64, 0]  # a pixel of each cell
    np.testing.assert_allclose(255 - red_te, (255 - 8) * share_te / share_te.max(), atol=1)


def test_a_training_that_was_cut_short_and_taken_up_leaves_the_same_file(watched, tmp_path):
    folder, _, _, _ = watched
    path = tmp_path / "routing.csv"
    lines = (folder / "routing.csv").read_bytes().splitlines(keepends=True)
    cut = 1 + 2 * 38 + 7  # within the third epoch
    torn = [*lines[:cut], lines[cut][:9]]
    path.write_bytes(b"".join(torn))
    model, _ = fit([], epochs=2)
    model.fit(
        X,
        Y,
        batch_size=64,
        initial_epoch=2,
        epochs=3,
        shuffle=False,
        verbose=0,
        callbacks=[RoutingMonitor(X, NAMES, rows=100, csv=path)],
    )
    assert path.read_bytes() == (folder / "routing.csv").read_bytes()
    fit([RoutingMonitor(X, NAMES, rows=100, csv=path)], epochs=1)  # starts over
    assert {line.epoch for line in read_routing(path)} == {0}


def test_a_subclassed_model_is_watched_by_what_it_trains():
    core = build().get_layer("core")

    class Wrapped(keras.Model):
        def call(self, inputs):
            return core(inputs)

    model = Wrapped()
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="Wrapped"):
        model.fit(X, Y, verbose=0, callbacks=[RoutingMonitor(X)])
    history = model.fit(X, Y, verbose=0, callbacks=[RoutingMonitor(X, model=core)]).history
    assert len(history["experts/union_mean"]) == 1


def test_names_of_tasks_must_be_as_many(tmp_path):
    with pytest.raises(ValueError, match=r"2 names.*\['click'\]"):
        fit([RoutingMonitor(X, ["click"], csv=tmp_path / "routing.csv")], epochs=1)


def test_another_file_is_not_overwritten(tmp_path):
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="must begin with epoch,layer"):
        fit([RoutingMonitor(X, csv=tmp_path / "notes.csv")], epochs=1)
    assert (tmp_path / "notes.csv").read_text() == "a,b\n1,2\n"
