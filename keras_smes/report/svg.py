"""Matplotlib figures as inline SVG: in the page's font, and in its light and dark colours."""

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes

from keras_smes.viz import style

WIDTH = 4.6  # inches: on a phone, letters then have the size of the page's text
DPI = 200  # of the pixels in heat maps
# Colours of the figures, and the variables of `page.css` that stand for them.
VARIABLES = {
    style.INK: "ink",
    "#000000": "ink",
    style.MUTED: "muted",
    style.FILL: "fill",
    style.SECOND_FILL: "second-fill",
    style.EMPTY: "empty",
    "#ffffff": "surface",
    **{each["color"]: f"series-{n}" for n, each in enumerate(list(style.SERIES)[:6], start=1)},
}


def inline_svg(draw: Callable[[Axes], Any], name: str, title: str, height: float = 3.0) -> str:
    """Draws on axes of a new figure and returns it as HTML; its `name` is unique on the page."""

    def untitled(ax: Axes) -> None:
        draw(ax)
        ax.set_title("", loc="left")  # the page has its own heading

    file = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        style.write_figure(untitled, file, (WIDTH, height), "svg", dpi=DPI, transparent=True)
    return _for_page(file.getvalue().decode(), name, title)


def _for_page(svg: str, name: str, title: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    label = escape(title)
    head = f'<svg {box.group()} role="img" aria-label="{label}"><title>{label}</title>'
    svg = head + svg[svg.index(">") + 1 :]
    return _with_variables(_with_own_ids(svg, name))


def _with_own_ids(svg: str, name: str) -> str:
    """Keeps the ids that are referenced, with names that are unique on the page."""
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg))
    wanted = {one or other for one, other in used}

    def own(found: re.Match[str]) -> str:
        return f' id="{name}-{found[1]}"' if found[1] in wanted else ""

    svg = re.sub(r'\s+id="([^"]*)"', own, svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)


def _with_variables(svg: str) -> str:
    for color, variable in VARIABLES.items():
        svg = re.sub(rf"(fill|stroke): {color}", rf"\1: var(--{variable})", svg, flags=re.IGNORECASE)
    return svg
