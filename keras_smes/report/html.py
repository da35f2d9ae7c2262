"""HTML elements as functions; text is escaped."""

from collections.abc import Sequence
from html import escape
from typing import Any


class Markup(str):
    """Text that is already HTML."""


def element(name: str, *children: Any, **attributes: Any) -> Markup:
    """Returns an element; text in it is escaped, `class_` is `class`.

    Example:

    >>> element("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    inner = "".join(child if isinstance(child, Markup) else escape(str(child)) for child in children)
    return Markup(f"<{name}{given}>{inner}</{name}>")


def table(caption: str, header: Sequence[Any], rows: Sequence[Sequence[Any]], heads: int = 1) -> Markup:
    """Returns a table that scrolls horizontally where it is too wide.

    Args:
        caption: Caption of the table.
        header: Column headers.
        rows: Cells, text or elements `td`. A row whose first cell is empty continues the one above.
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
    names = [element("th", cell, scope="row") for cell in row[:heads]]
    cells = [cell if isinstance(cell, Markup) else element("td", cell) for cell in row[heads:]]
    return element("tr", *names, *cells, class_="first" if row[0] else "more")
