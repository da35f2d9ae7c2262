"""What each plot draws: the numbers that it was given, and marks that say how to read them."""

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from keras_smes.viz import (
    calibration_curves,
    cost_against_capacity,
    expert_load,
    instance_routing,
    load_by_epoch,
    style,
    task_expert_heatmap,
    task_overlap,
    training_curves,
    union_sizes,
)

TWO = ["click", "like"]


def heights(ax):
    return [bar.get_height() for bar in ax.patches]


def line(ax, label):
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return found


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def luminance(color):
    return to_rgb(color) @ np.array([0.2126, 0.7152, 0.0722])


def test_training_curves_carry_the_losses_by_epoch():
    ax = training_curves({"loss": [0.6, 0.5, 0.4], "val_loss": [0.7, 0.6, 0.65], "click_auc": [0.5] * 3})
    assert texts(ax) == ["training", "validation"]
    np.testing.assert_array_equal(line(ax, "training").get_xydata(), [[1, 0.6], [2, 0.5], [3, 0.4]])
    np.testing.assert_array_equal(line(ax, "validation").get_ydata(), [0.7, 0.6, 0.65])
    assert line(ax, "training").get_linestyle() != line(ax, "validation").get_linestyle()


def test_each_model_keeps_one_colour_and_marker_of_its_own():
    ax = training_curves({"loss": [0.6], "val_loss": [0.7]}, label="SMES")
    training_curves({"loss": [0.5, 0.4], "val_loss": [0.6, 0.6]}, ax, label="MMoE")
    looks = {each.get_label(): (to_hex(each.get_color()), each.get_marker()) for each in ax.lines}
    assert texts(ax) == ["SMES, training", "SMES, validation", "MMoE, training", "MMoE, validation"]
    assert looks["SMES, training"] == looks["SMES, validation"]
    assert looks["MMoE, training"] == looks["MMoE, validation"]
    assert all(a != b for a, b in zip(looks["SMES, training"], looks["MMoE, training"], strict=True))


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_epochs_are_whole_numbers(epochs):
    ax = training_curves({"loss": [0.5] * epochs})
    assert len(ax.lines) == 1
    assert all(tick == int(tick) for tick in ax.get_xticks())


@pytest.mark.parametrize("scale", [1, 1000])
@pytest.mark.parametrize("num_experts", [8, 64])
def test_expert_load_carries_shares_and_the_uniform_line(num_experts, scale):
    load_e = np.random.default_rng(0).dirichlet(np.ones(num_experts))
    ax = expert_load(scale * load_e)
    np.testing.assert_allclose(heights(ax), load_e)
    (uniform,) = ax.lines
    np.testing.assert_allclose(uniform.get_ydata(), 1 / num_experts)
    assert texts(ax) == [f"uniform, 1/E = {100 / num_experts:.2f}%"]


def test_expert_load_sorted_shows_the_skew():
    ax = expert_load([3, 1, 4, 2], sort=True)
    np.testing.assert_allclose(heights(ax), [0.4, 0.3, 0.2, 0.1])
    assert "most to least" in ax.get_xlabel()
    assert "most to least" not in expert_load([3, 1, 4, 2]).get_xlabel()


def test_heat_map_carries_the_matrix_the_names_and_the_uniform_mark():
    share_te = np.random.default_rng(0).dirichlet(np.ones(64), size=6)
    names = ["click", "long_view", "like", "follow", "comment", "forward"]
    ax = task_expert_heatmap(share_te, names)
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), share_te)
    assert image.get_clim()[0] == 0
    assert [text.get_text() for text in ax.get_yticklabels()] == names
    assert not ax.texts, "64 columns leave no room for numbers"
    np.testing.assert_allclose(image.colorbar.ax.lines[0].get_ydata(), 1 / 64)


def test_heat_map_of_few_experts_writes_the_numbers():
    ax = task_expert_heatmap([[0.25, 0.75], [1.0, 0.0]], ["a", "b"])
    written = {(text.get_position()): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "25%", (1, 0): "75%", (0, 1): "100%", (1, 1): "0%"}
    colors = {text.get_text(): text.get_color() for text in ax.texts}
    assert luminance(colors["100%"]) > 0.9 > 0.1 > luminance(colors["0%"])


@pytest.mark.parametrize(("bound", "num_experts"), [(8, 64), (5, 8)])
def test_union_sizes_carry_shares_bound_and_pool(bound, num_experts):
    counts = np.zeros(num_experts + 1, int)
    counts[[3, 4, 5]] = 10, 60, 30
    ax = union_sizes(counts, bound, num_experts)
    np.testing.assert_allclose(heights(ax), counts / 100)
    assert [bar.get_x() + bar.get_width() / 2 for bar in ax.patches] == pytest.approx(range(num_experts + 1))
    assert set(line(ax, f"bound, {bound}").get_xdata()) == {bound}
    assert set(line(ax, f"E = {num_experts}").get_xdata()) == {num_experts}
    assert "instances, mean 4.20" in texts(ax)


def test_a_bound_that_is_the_pool_is_one_line():
    ax = union_sizes([0, 1, 2], bound=4, num_experts=4)
    (only,) = ax.lines
    assert only.get_label() == "bound = E = 4"
    assert set(only.get_xdata()) == {4}


def test_the_size_of_a_large_pool_is_pointed_to_and_the_bars_stay_wide():
    ax = union_sizes([0, 0, 30, 70], bound=4, num_experts=256)
    assert ax.get_xlim()[1] < 15
    assert set(line(ax, "bound, 4").get_xdata()) == {4}
    (note,) = ax.texts
    assert note.get_text() == "E = 256"


def test_overlap_carries_the_pairs_and_leaves_the_diagonal_out():
    overlap_tt = np.array([[1, 0.25, 0.5], [0.25, 1, 0.8], [0.5, 0.8, 1]])
    ax = task_overlap(overlap_tt, ["a", "b", "c"])
    drawn = ax.images[0].get_array()
    np.testing.assert_array_equal(np.isnan(drawn.filled(np.nan)), np.eye(3, dtype=bool))
    assert drawn[0, 2] == drawn[2, 0] == 0.5
    assert ax.images[0].get_clim() == (0, 1)
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written[(2, 1)] == written[(1, 2)] == "0.80"
    assert len(written) == 6
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "c"]


def test_load_by_epoch_carries_loads_over_the_mean_an_epoch_a_column():
    counts_ne = np.array([[10, 20, 30, 40], [25, 25, 50, 0]])
    ax = load_by_epoch(counts_ne)
    expected = np.array([[0.4, 1.0], [0.8, 1.0], [1.2, 2.0], [1.6, 0.0]])
    np.testing.assert_allclose(ax.images[0].get_array(), expected)
    assert ax.images[0].get_extent() == [0.5, 2.5, 3.5, -0.5]  # epochs from 1, expert 0 on top
    assert all(tick == int(tick) for tick in ax.get_xticks())


def test_one_instance_has_a_filling_as_high_as_the_gate_in_each_cell():
    weights_te = np.array([[0.0, 0.6, 0.1, 0.0, 0.3, 0.0], [0.0, 0.2, 0.7, 0.1, 0.0, 0.0]])
    ax = instance_routing(weights_te, [False, True, True, False, False, False], TWO)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "3", "4"]  # shared ones first
    places = dict(zip((1, 2, 3, 4), ax.get_xticks(), strict=True))
    cells = [patch for patch in ax.patches if to_hex(patch.get_facecolor()) == style.EMPTY.lower()]
    filled = {}
    for patch in set(ax.patches) - set(cells):
        task = round(patch.get_y() - cells[0].get_width() / 2)
        expert = next(e for e, x in places.items() if abs(patch.get_x() + patch.get_width() / 2 - x) < 0.1)
        filled[task, expert] = abs(patch.get_height()) / abs(cells[0].get_height())
        is_shared = to_hex(patch.get_facecolor()) == style.FILL.lower()
        assert is_shared == (expert in (1, 2))
    assert len(cells) == 2 * 4
    expected = {(t, e): gate for (t, e), gate in np.ndenumerate(weights_te) if gate > 0}
    assert filled == pytest.approx(expected)
    assert sorted(text.get_text() for text in ax.texts) == [".10", ".10", ".20", ".30", ".60", ".70"]
    assert "4 of 6 experts" in ax.get_title(loc="left")


def test_one_instance_of_many_experts_has_no_numbers_that_would_not_fit():
    weights_te = np.eye(30, 256)
    ax = instance_routing(weights_te, np.zeros(256, bool), [f"task {t}" for t in range(30)])
    assert len(ax.get_xticks()) == 30
    assert not ax.texts


def test_calibration_carries_the_bins_and_the_diagonal():
    curves = {"click": ([0.1, 0.5, np.nan], [0.2, 0.4, np.nan]), "like": ([0.001, 0.02], [0.0, 0.03])}
    ax = calibration_curves(curves)
    np.testing.assert_array_equal(line(ax, "click").get_xydata(), [[0.1, 0.2], [0.5, 0.4]])
    np.testing.assert_array_equal(line(ax, "like").get_xydata(), [[0.001, 0.0], [0.02, 0.03]])
    diagonal = line(ax, "calibrated")
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert ax.get_xlim() == ax.get_ylim()
    half = ax.transData.transform([0.25 * ax.get_xlim()[1], 0])  # a quarter of the top is half way up
    ends = ax.transData.transform([[0, 0], [ax.get_xlim()[1], 0]])
    assert half[0] == pytest.approx(ends[:, 0].mean())


def test_twelve_series_are_told_apart_without_colour():
    ax = calibration_curves({f"task {t}": ([0.1, 0.2], [0.1, 0.2]) for t in range(12)})
    looks = {(each.get_marker(), each.get_linestyle()) for each in ax.lines[1:]}
    assert len(looks) == 12


def test_cost_carries_the_sizes_and_the_line_of_dense_experts():
    sizes = {"dense": ([1e6, 4e6], [1e6, 4e6]), "smes": (2e6, 3e5)}
    ax = cost_against_capacity(sizes)
    np.testing.assert_array_equal(line(ax, "dense").get_xydata(), [[1e6, 1e6], [4e6, 4e6]])
    np.testing.assert_array_equal(line(ax, "smes").get_xydata(), [[2e6, 3e5]])
    diagonal = line(ax, "each used once")
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert texts(ax) == ["each used once", "dense", "smes"]


def test_training_curves_of_a_task():
    history = {"loss": [9.0], "click_loss": [0.6], "val_click_loss": [0.7]}
    ax = training_curves(history, name="click_loss")
    assert [list(each.get_ydata()) for each in ax.lines] == [[0.6], [0.7]]
    assert "Click loss" in ax.get_title(loc="left")
