"""Draws the pictures of the concepts, from what the layers really do.

`python docs/draw.py` writes `docs/pictures/*.svg`. Routers are fresh and instances random, seeds fixed; only
the picture of loads trains, for less than a minute. Needs the extras `data` and `viz`.
"""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib as mpl

mpl.use("svg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from keras_smes import SMES
from keras_smes.viz import expert_load, style, union_sizes

FOLDER = Path(__file__).parent / "pictures"
SHARED, PRIVATE, EMPTY = "#3B6C94", "#A9C4DC", "#F2F2F2"  # dark, middle, light: told apart in grey
TASKS = ("click", "long view", "like", "follow")


def route(num_tasks: int, num_experts: int, num_shared: int, num_private: int, rows: int) -> dict[str, Any]:
    """The routing of random instances by fresh routers, as NumPy arrays."""
    keras.utils.set_random_seed(3)
    layer = SMES(num_tasks, num_experts, num_shared, num_private, expert_units=(8,))
    h_bd = np.random.default_rng(1).normal(size=(rows, 64)).astype("float32")
    return {name: keras.ops.convert_to_numpy(values) for name, values in layer.route(h_bd).items()}


def way_of_an_instance() -> None:
    """The floors that a row goes through, with the shape after each."""
    steps = [
        ("rows", "raw columns\n[B]"),
        ("preprocessor", "ids, numbers\n[B]"),
        ("encoder", "h\n[B, D]"),
        ("routers", "probabilities\n[B, T, E]"),
        ("experts", "mixtures\n[B, T, out]"),
        ("towers", "logits\n[B] a task"),
        ("scores", "probability,\nseconds, ..."),
    ]
    ax = blank(8.2, 2.2, len(steps) * 1.5, 2.2)
    for place, (name, shape) in enumerate(steps):
        x = place * 1.5 + 0.15
        box(ax, x, 0.95, 1.2, 0.6, name, SHARED if name in ("routers", "experts") else EMPTY)
        ax.text(x + 0.6, 0.75, shape, ha="center", va="top", fontsize=8, color=style.INK)
        if place:
            arrow(ax, (x - 0.3, 1.25), (x, 1.25))
    brace(ax, 1.65, 2.85, "also in the input pipeline")
    brace(ax, 3.15, 8.85, '"core": what is trained, and what XLA may compile')
    save(ax, "way")


def choice_of_an_instance() -> None:
    """Which experts one instance uses for each task, and with what gate."""
    routing = route(len(TASKS), 16, 2, 1, rows=8)
    weights_te, shared_e, union_e = routing["weights"][5], routing["shared"][5], routing["union"][5]
    ax = blank(7.5, 2.9, 19.5, 6.4)
    for (task, expert), weight in np.ndenumerate(weights_te):
        color = EMPTY if weight == 0 else SHARED if shared_e[expert] else PRIVATE
        y = len(TASKS) - task
        ax.add_patch(Rectangle((expert + 3.2, y), 0.92, 0.92, facecolor=color))
        if weight > 0:
            ink = "white" if shared_e[expert] else style.INK
            label = f"{weight:.2f}".removeprefix("0")
            ax.text(expert + 3.66, y + 0.46, label, ha="center", va="center", fontsize=7.5, color=ink)
    for task, name in enumerate(TASKS):
        ax.text(3.0, len(TASKS) - task + 0.46, name, ha="right", va="center", fontsize=9, color=style.INK)
    for expert in range(16):
        weight = "bold" if union_e[expert] else "normal"
        color = style.INK if union_e[expert] else style.MUTED
        ax.text(
            expert + 3.66,
            0.6,
            str(expert),
            ha="center",
            va="center",
            fontsize=8,
            fontweight=weight,
            color=color,
        )
    ax.text(3.0, 0.6, "expert", ha="right", va="center", fontsize=8, color=style.MUTED)
    used = f"Bold: the {union_e.sum()} of 16 experts that the instance executes, each once."
    ax.text(3.2, -0.25, used, fontsize=9, color=style.INK)
    key(ax, [(SHARED, "shared, the same for all tasks"), (PRIVATE, "private"), (EMPTY, "not used")], 3.2, 5.4)
    save(ax, "choice")


def union_explosion() -> None:
    """How many experts an instance executes when tasks choose alone, and when they choose together."""
    _, axes = plt.subplots(2, 1, figsize=(7, 5), layout="constrained")
    for ax, shared, private, title in (
        (axes[0], 0, 3, "Each task its own three"),
        (axes[1], 2, 1, "Two shared and one private"),
    ):
        union_be = route(6, 64, shared, private, rows=4096)["union"]
        counts = np.bincount(union_be.sum(axis=1), minlength=65)
        union_sizes(counts, bound=shared + 6 * private, num_experts=64, ax=ax)
        style.label(ax, title, "experts that an instance executes", "share of instances")
    save(axes[0], "unions")


def grouping() -> None:
    """From chosen pairs to packed rows, an expert's rows together."""
    union_be = route(3, 8, 1, 1, rows=6)["union"]
    ax = blank(9, 3.4, 20.5, 8.2)
    shades = plt.get_cmap("Blues")(np.linspace(0.12, 0.75, 6))
    for row, expert in np.ndindex(union_be.shape):
        chosen = union_be[row, expert]
        face = shades[row] if chosen else EMPTY
        ax.add_patch(Rectangle((expert + 1.6, 6 - row), 0.92, 0.92, facecolor=face))
        if chosen:
            number(ax, expert + 2.06, 6.46 - row, row)
    for row in range(6):
        ax.text(1.4, 6.46 - row, f"instance {row}", ha="right", va="center", fontsize=8, color=style.INK)
    x, most = 12.2, union_be.sum(axis=0).max()
    for expert in range(8):
        ax.text(expert + 2.06, 0.6, f"e{expert}", ha="center", va="center", fontsize=8, color=style.INK)
        for place, row in enumerate(np.flatnonzero(union_be[:, expert])):
            ax.add_patch(Rectangle((x + expert, 6 - place), 0.92, 0.92, facecolor=shades[row]))
            number(ax, x + expert + 0.46, 6.46 - place, row)
        ax.text(x + expert + 0.46, 0.6, f"e{expert}", ha="center", va="center", fontsize=8, color=style.INK)
    assert most <= 6
    arrow(ax, (9.9, 4), (11.9, 4))
    ax.text(10.9, 4.3, "group", ha="center", fontsize=9, color=style.INK)
    ax.text(1.6, 7.4, "chosen pairs", fontsize=10, fontweight="bold", color=style.INK)
    ax.text(
        x, 7.4, "rows of each expert: one matrix product", fontsize=10, fontweight="bold", color=style.INK
    )
    pairs = f"{union_be.sum()} pairs are executed, where dense execution takes {union_be.size}."
    ax.text(1.6, -0.2, pairs, fontsize=9, color=style.INK)
    save(ax, "pairs")


def loads() -> None:
    """The load of experts after training with and without the balance loss."""
    from keras_smes.data import simulate, split_with_statistics
    from keras_smes.training import EncoderConfig, RunConfig, TrainingConfig, evaluate, fit_ranker

    parts = split_with_statistics(simulate(rows=40_000, contexts=(4, 4)))
    _, axes = plt.subplots(2, 1, figsize=(7, 5), layout="constrained")
    for ax, weight, title in ((axes[0], 0.0, "Without balance loss"), (axes[1], 0.1, "Balance weight 0.1")):
        experts = {"num_experts": 32, "balance_weight": weight, "expert_units": (32, 16)}
        training = TrainingConfig(epochs=3)
        config = RunConfig("simulated", experts=experts, encoder=EncoderConfig((64,)), training=training)
        health = evaluate(fit_ranker(config, parts.train, verbose=0).ranker, parts.test)["routing"]
        expert_load(health["expert_load"], ax, sort=True)
        figures = f"maximum {health['load_max_over_mean']:.1f} times the mean, {health['dead_experts']} dead"
        style.label(ax, f"{title}: {figures}", "expert, from most to least loaded", "share of executed pairs")
        ax.legend_.remove()
    top = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(0, top)
    save(axes[0], "loads")


def blank(width: float, height: float, x: float, y: float) -> Axes:
    """Axes without frame, of its own units."""
    figure = plt.figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, x), ylim=(-0.6, y))
    ax.axis("off")
    return ax


def box(ax: Axes, x: float, y: float, width: float, height: float, text: str, color: str) -> None:
    shape = FancyBboxPatch(
        (x, y),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=color,
        edgecolor=style.MUTED,
    )
    ax.add_patch(shape)
    ink = "white" if color == SHARED else style.INK
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9, color=ink)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=style.INK, linewidth=1)
    )


def brace(ax: Axes, start: float, end: float, text: str) -> None:
    ax.plot([start, start, end, end], [-0.05, -0.15, -0.15, -0.05], color=style.MUTED, linewidth=1)
    ax.text((start + end) / 2, -0.22, text, ha="center", va="top", fontsize=8, color=style.INK)


def number(ax: Axes, x: float, y: float, row: int) -> None:
    ink = "white" if row >= 4 else style.INK
    ax.text(x, y, str(row), ha="center", va="center", fontsize=8, color=ink)


def key(ax: Axes, entries: list[tuple[str, str]], x: float, y: float) -> None:
    for color, text in entries:
        ax.add_patch(Rectangle((x, y), 0.5, 0.5, facecolor=color, edgecolor=style.MUTED, linewidth=0.5))
        ax.text(x + 0.7, y + 0.25, text, va="center", fontsize=8, color=style.INK)
        x += 1.6 + 0.19 * len(text)


def save(ax: Axes, name: str) -> None:
    """Writes the figure of `ax` so that equal figures are equal files."""
    FOLDER.mkdir(exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": name}):
        ax.figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
    plt.close(ax.figure)
    print(FOLDER / f"{name}.svg")


if __name__ == "__main__":
    way_of_an_instance()
    choice_of_an_instance()
    union_explosion()
    grouping()
    loads()
