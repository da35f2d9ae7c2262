"""What holds of every plot: labels, axes, settings, room, and errors that name the argument."""

import doctest
import importlib
import itertools
import sys

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from keras_smes import viz
from keras_smes.viz import (
    calibration_curves,
    cost,
    cost_against_capacity,
    expert_load,
    instance,
    instance_routing,
    load_by_epoch,
    routing,
    scores,
    task_expert_heatmap,
    task_overlap,
    training,
    training_curves,
    union_sizes,
)

TWO = ["click", "like"]


CALLS = {
    "training_curves": lambda ax=None: training_curves({"loss": [0.6, 0.5], "val_loss": [0.6, 0.55]}, ax),
    "expert_load": lambda ax=None: expert_load([3, 1, 4, 2], ax),
    "task_expert_heatmap": lambda ax=None: task_expert_heatmap([[0.5, 0.5], [0.9, 0.1]], ["a", "b"], ax),
    "union_sizes": lambda ax=None: union_sizes([0, 1, 3], 2, 4, ax),
    "union_sizes of a large pool": lambda ax=None: union_sizes([0, 1, 3], 2, 256, ax),
    "task_overlap": lambda ax=None: task_overlap([[1, 0.2], [0.2, 1]], ["click", "long view"], ax),
    "load_by_epoch": lambda ax=None: load_by_epoch([[1, 2, 3], [2, 2, 2]], ax),
    "instance_routing": lambda ax=None: instance_routing([[0.5, 0.5, 0], [0.9, 0, 0.1]], [1, 0, 0], TWO, ax),
    "calibration_curves": lambda ax=None: calibration_curves({"click": ([0.1, 0.4], [0.2, 0.3])}, ax),
    "cost_against_capacity": lambda ax=None: cost_against_capacity({"smes": (2e5, 1e5)}, ax),
}


WITHOUT_Y = {"task_expert_heatmap", "instance_routing", "task_overlap"}  # their rows carry the tasks' names


@pytest.mark.parametrize("name", CALLS)
def test_a_figure_is_labelled_and_leaves_global_settings_alone(name):
    before = mpl.rcParams.copy()
    ax = CALLS[name]()
    FigureCanvasAgg(ax.figure).draw()
    assert mpl.rcParams == before
    assert ax.get_title(loc="left")
    assert ax.get_xlabel() or name == "task_overlap"
    assert ax.get_ylabel() or name in WITHOUT_Y


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


FULL = {
    "expert_load": lambda: expert_load(np.arange(1, 257)),
    "task_expert_heatmap": lambda: task_expert_heatmap(np.full((12, 256), 1 / 256), TWELVE),
    "task_overlap": lambda: task_overlap(np.full((12, 12), 0.5), TWELVE),
    "instance_routing": lambda: instance_routing(np.eye(12, 64), np.arange(64) == 63, TWELVE),
    "calibration_curves": lambda: calibration_curves({t: ([0.1, 0.9], [0.1, 0.8]) for t in TWELVE}),
}


TWELVE = [f"profile enter {t}" for t in range(12)]


@pytest.mark.parametrize("name", FULL)
def test_many_experts_and_tasks_leave_labels_apart(name):
    ax = FULL[name]()
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        if any(label.get_rotation() == 45 for label in labels):
            continue  # slanted: their boxes overlap, their letters don't
        boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels if label.get_text()]
        inside = [box for box in boxes if ax.figure.bbox.contains(*box.min)]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(inside))
    inside = ax.figure.bbox.padded(1)
    for box in [each.get_tightbbox(canvas.get_renderer()) for each in ax.figure.axes]:
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1
        assert inside.y0 <= box.y0 < box.y1 <= inside.y1


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
        (lambda: task_overlap([[1, 0.5]], ["a"]), r"square.*\(1, 2\)"),
        (lambda: task_overlap([[1]], TWO), r"overlap_tt\.shape=\(1, 1\)"),
        (lambda: load_by_epoch([1, 2]), r"load_ne\.shape=\(2,\)"),
        (lambda: load_by_epoch([[0, 0]]), r"not all zero"),
        (lambda: instance_routing([[1, 0]], [True], ["a"]), r"2 experts.*shared\.shape=\(1,\)"),
        (lambda: instance_routing([[1, 2]], [True, False], ["a"]), r"`weights` must be in \[0, 1\]"),
        (lambda: calibration_curves({}), r"`curves` must have at least one task"),
        (lambda: calibration_curves({"click": ([0.1], [0.1, 0.2])}), r"'click' with shapes"),
        (lambda: calibration_curves({"click": ([np.nan], [0.1])}), r"at least one bin.*'click'"),
        (lambda: calibration_curves({"click": ([1.1], [0.1])}), r"1\.1"),
        (lambda: cost_against_capacity({}), r"`sizes` must have at least one model"),
        (lambda: cost_against_capacity({"smes": (0, 1)}), r"'smes' with \[0\.0\] and \[1\.0\]"),
        (lambda: training_curves({"loss": [1.0]}, name="click_loss"), r"must hold 'click_loss'"),
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


@pytest.mark.parametrize("module", [cost, instance, routing, scores, training])
def test_the_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
