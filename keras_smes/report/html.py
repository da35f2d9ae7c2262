"""HTML by functions: whatever is text is escaped."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple


class Markup(str):
    """Text that is HTML already."""


class Cell(NamedTuple):
    """A cell of a table that is more than its text.

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
    """Returns a table that scrolls by itself where it is too wide.

    Args:
        caption: What it is of.
        header: Heads of the columns.
        rows: Cells, text or `Cell`. A row whose first cell is empty goes on with the one above.
        heads: How many cells of a row are its heads. Defaults to `1`.
    """
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    lines = [_row(row, heads) for row in rows]
    body = [element("caption", caption), element("thead", head), element("tbody", *lines)]
    # A region that scrolls can be reached by the keyboard.
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
