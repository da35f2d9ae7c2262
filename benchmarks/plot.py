"""Draws time against the number of experts, at fixed shared and private ones: flat is the point.

python benchmarks/plot.py scale.json figure.png
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def main(source: str, target: str) -> None:
    rows = [r for r in json.loads(Path(source).read_text())["rows"] if r["scope"] == "experts"]
    rows = [r for r in rows if not r["jit"] and r["routing"] == "uniform"]
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=False)
    for ax, kind in zip(axes, ("forward", "train"), strict=True):
        _draw(ax, [r for r in rows if r["pass"] == kind], kind)
    figure.tight_layout()
    figure.savefig(target, dpi=130)


def _draw(ax: Any, rows: list[dict[str, Any]], kind: str) -> None:
    styles = {
        "dense": ("s--", "0.45", "dense: every expert"),
        "grouped": ("o-", "#0072b2", "SMES: chosen experts"),
    }
    for execution, (marker, color, label) in styles.items():
        points = [(r["experts"], r["median_ms"]) for r in rows if r["execution"] == execution]
        ax.plot(*zip(*points, strict=True), marker, color=color, label=label)
    limit = [(r["experts"], r["roofline_ms"]) for r in rows if r["execution"] == "grouped"]
    ax.plot(*zip(*limit, strict=True), ":", color="0.2", label="limit: multiplications or weights read")
    case = rows[0]
    picks = f"K_s {case['num_shared']}, K_a {case['num_private']}"
    ax.set(xscale="log", yscale="log", xlabel="experts E", ylabel="milliseconds (median)")
    ax.set_title(f"{kind}: B {case['batch']}, experts {case['width']}-{case['units']}, {picks}", fontsize=9)
    ax.legend(frameon=False, fontsize=8)


if __name__ == "__main__":
    main(*sys.argv[1:])
