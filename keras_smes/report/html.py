"""HTML elements as functions; text is escaped."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple


class Markup(str):
    """Text that is already HTML."""


class Cell(NamedTuple):
    """A table cell with a style.

    Attributes:
        value: Its text.
        kind: Class for the style: `"best"`, `"differs"` or empty. Defaults to empty.
    """

    value: Any
    kind: str = ""


def element(name: str, *children: Any, **attributes: Any) -> Markup:
    """Returns an element; text in it is escaped, `class_` is `class`.

    Example:

    >>> element("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    names = [key.rstrip("_").replace("_", "-") for key in attributes]
    given = "".join(
        f' {name}="{escape(str(value))}"' for name, value in zip(names, attributes.values(), strict=True)
    )
    inner = "".join(child if isinstance(child, Markup) else escape(str(child)) for child in children)
    return Markup(f"<{name}{given}>{inner}</{name}>")


def table(caption: str, header: Sequence[Any], rows: Sequence[Sequence[Any]], heads: int = 1) -> Markup:
    """Returns a table that scrolls horizontally where it is too wide.

    Args:
        caption: Caption of the table.
        header: Column headers.
        rows: Cells, text or `Cell`. A row whose first cell is empty continues the one above.
        heads: Number of header cells per row. Defaults to `1`.
    """
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    lines = [_row(row, heads) for row in rows]
    body = [element("caption", caption), element("thead", head), element("tbody", *lines)]
    # Focusable, so that the keyboard can scroll it.
    return element(
        "div", element("table", *body), class_="scroll", tabindex="0", role="region", aria_label=caption
    )


def _row(row: Sequence[Any], heads: int) -> Markup:
    cells = [
        element("th", cell, scope="row") if place < heads else _cell(cell) for place, cell in enumerate(row)
    ]
    return element("tr", *cells, class_="first" if row[0] else "more")


def _cell(cell: Any) -> Markup:
    if isinstance(cell, Cell):
        return element("td", cell.value, class_=cell.kind) if cell.kind else element("td", cell.value)
    return element("td", cell)
