"""Makes docstrings in the Keras form readable for Griffe, which knows Google's.

Three of its sections differ: `Example:` is followed by lines that are not indented, `Call arguments:` are
what `call` takes, and `References:` is a list.
"""

import re
from typing import Any

import griffe

SECTION = re.compile(r"^([A-Z][a-z]+(?: [a-z]+)?):$")
RENAMED = {"Example": "Examples:", "Call arguments": "Other Parameters: Call arguments"}


class KerasDocstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = rewrite(obj.docstring.value)


def rewrite(docstring: str) -> str:
    """Returns a docstring in the Keras form as one in Google's."""
    lines: list[str] = []
    section = ""
    for line in docstring.splitlines():
        found = SECTION.match(line)
        if found:
            section = found.group(1)
            line = "**References**\n" if section == "References" else RENAMED.get(section, line)
        elif section == "Example":
            if not line and lines[-1] == RENAMED["Example"]:
                continue  # Griffe knows no section by a title with an empty line below
            line = f"    {line}"
        elif section == "References":
            line = line.removeprefix("    ")
        lines.append(line)
    return "\n".join(lines)
