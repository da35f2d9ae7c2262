import doctest
import importlib
import sys

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from keras_smes import viz
from keras_smes.viz import expert_load, routing, task_expert_heatmap, training, training_curves, union_sizes

CALLS = {
    "training_curves": lambda ax=None: training_curves({"loss": [0.6, 0.5], "val_loss": [0.6, 0.55]}, ax),
    "expert_load": lambda ax=None: expert_load([3, 1, 4, 2], ax),
    "task_expert_heatmap": lambda ax=None: task_expert_heatmap([[0.5, 0.5], [0.9, 0.1]], ["a", "b"], ax),
    "union_sizes": lambda ax=None: union_sizes([0, 1, 3], 2, 4, ax),
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def heights(ax):
    return [bar.get_height() for bar in ax.patches]


def line(ax, label):
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return found


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("name", CALLS)
def test_a_figure_is_labelled_and_leaves_global_settings_alone(name):
    before = mpl.rcParams.copy()
    ax = CALLS[name]()
    FigureCanvasAgg(ax.figure).draw()
    assert mpl.rcParams == before
    assert ax.get_title(loc="left")
    assert ax.get_xlabel()
    assert ax.get_ylabel() or name == "task_expert_heatmap"  # whose rows carry the tasks' names


@pytest.mark.parametrize("name", CALLS)
def test_a_figure_goes_onto_the_axes_given_without_pyplot(name):
    from matplotlib import pyplot

    ax = Figure().subplots()
    assert CALLS[name](ax) is ax
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", CALLS)
def test_nothing_leaves_the_picture(name):
    ax = CALLS[name]()
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    inside = ax.figure.bbox.padded(1)
    for box in [each.get_tightbbox(canvas.get_renderer()) for each in ax.figure.axes]:
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1
        assert inside.y0 <= box.y0 < box.y1 <= inside.y1


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
    assert colors["100%"] == "white" != colors["0%"]


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: training_curves({"val_loss": [1.0]}), r"`history` must hold 'loss'.*\{'val_loss': 1\}"),
        (lambda: training_curves({"loss": []}), r"\{'loss': 0\}"),
        (lambda: training_curves({"loss": [1, 2], "val_loss": [1]}), r"\{'loss': 2, 'val_loss': 1\}"),
        (lambda: expert_load([]), r"`load` must be .*Received: load=\[\]"),
        (lambda: expert_load([0, 0]), r"not all zero"),
        (lambda: expert_load([None, None]), r"finite"),
        (lambda: expert_load([1, -1]), r"load=\[1, -1\]"),
        (lambda: expert_load([[1, 1]]), r"one-dimensional"),
        (lambda: task_expert_heatmap([[0.5, 0.5]], ["a", "b"]), r"share_te\.shape=\(1, 2\).*\['a', 'b'\]"),
        (lambda: task_expert_heatmap([0.5], ["a"]), r"share_te\.shape=\(1,\)"),
        (lambda: task_expert_heatmap([[0.5, 1.5]], ["a"]), r"in \[0, 1\].*1\.5"),
        (lambda: task_expert_heatmap([[None, 0.5]], ["a"]), r"in \[0, 1\].*nan"),
        (lambda: union_sizes([0, 0], 1, 4), r"`counts` must be"),
        (lambda: union_sizes([1, 1, 1], 1, 1), r"len\(counts\)=3, bound=1, num_experts=1"),
        (lambda: union_sizes([1, 1], 5, 4), r"bound=5"),
        (lambda: union_sizes([1, 1], 0, 4), r"bound=0"),
    ],
)
def test_a_bad_argument_is_named_and_opens_no_figure(call, message):
    from matplotlib import pyplot

    with pytest.raises(ValueError, match=message):
        call()
    assert pyplot.get_fignums() == []


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, viz.__name__)
    with pytest.raises(ImportError, match=r'pip install "keras_smes\[viz\]"'):
        importlib.import_module(viz.__name__)


@pytest.mark.parametrize("module", [routing, training])
def test_the_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
