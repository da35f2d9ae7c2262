"""Pages that the repository keeps beside what they describe, put into the site: nothing is written twice.

Their links are to files of the repository. A link to a module becomes one into the API reference, one to a
page of the site leads there, a picture comes along, and what the site doesn't have is left as plain text.
A single table comes by `<!-- table: FILE: WORDS -->`: the first one of that file whose head has the words.
"""

import posixpath
import re
import textwrap
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# Where a file of the repository stands in the site.
PAGES = {
    "serving/README.md": "serving/index.md",
    "serving/deploy/TUNING.md": "serving/tuning.md",
    "benchmarks/README.md": "measured/benchmarks.md",
    "experiments/README.md": "measured/experiments.md",
    "notebooks/README.md": "notebooks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)")
TABLE = re.compile(r"^( *)<!-- table: (\S+): (.+?) -->$", re.MULTILINE)
FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages, and the pictures that they show."""
    pages = _pages()
    for source, page in pages.items():
        text = _read(source)
        files.append(File.generated(config, page, content=_relink(text, source, pages)))
        for picture in _pictures(text, source) - set(files.src_uris):
            files.append(File.generated(config, picture, content=(ROOT / picture).read_bytes()))
    return files


def _pages() -> dict[str, str]:
    """Every page by its source: those of `PAGES`, and one an experiment that has results."""
    results = sorted(path.parent.name for path in (ROOT / "experiments").glob("*/README.md"))
    return PAGES | {f"experiments/{name}/README.md": f"measured/{name}.md" for name in results}


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Puts in the tables."""
    return TABLE.sub(lambda found: _table(*found.groups()), markdown)


def _table(indent: str, source: str, words: str) -> str:
    blocks = (ROOT / source).read_text(encoding="utf-8").split("\n\n")
    tables = [block for block in blocks if block.startswith("|") and words in block.partition("\n")[0]]
    if not tables:
        raise PluginError(f"{source} has no table with {words!r} in its head")
    return textwrap.indent(tables[0].strip(), indent)


def _documented() -> set[str]:
    """The modules that have a heading in the API reference."""
    pages = (ROOT / "docs" / "reference").glob("*.md")
    return {name for page in pages for name in re.findall(r"^::: (\S+)", page.read_text(), re.MULTILINE)}


def _read(source: str) -> str:
    """A page's text; one that isn't written yet names what there is beside it."""
    path = ROOT / source
    if path.exists():
        return path.read_text(encoding="utf-8")
    folder = Path(source).parent
    title = folder.name if path.stem == "README" else path.stem
    there = sorted((ROOT / folder).glob("*/README.md"))
    links = [f"- [{page.parent.name}]({page.relative_to(ROOT / folder)})" for page in there]
    lines = [f"# {title.capitalize()}", f"There is no `{source}` in this checkout yet.", "\n".join(links)]
    return "\n\n".join(lines) + "\n"


def _pictures(text: str, source: str) -> set[str]:
    shown = {_from_root(target, source) for mark, _, target in LINK.findall(text) if mark}
    return {picture for picture in shown if (ROOT / picture).is_file()}


def _from_root(link: str, source: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _relink(text: str, source: str, pages: dict[str, str]) -> str:
    """Rewrites links outside of code blocks."""
    page, documented = pages[source], _documented()

    def link(found: re.Match[str]) -> str:
        shown, label, target = found.groups()
        path, _, anchor = target.partition("#")
        wanted = _from_root(path, source)
        wanted = f"{wanted}/README.md" if f"{wanted}/README.md" in pages else wanted
        if shown:
            return f"![{label}]({_to(wanted, page)})"
        if wanted in pages:
            return f"[{label}]({_to(pages[wanted], page)}{'#' + anchor if anchor else ''})"
        module = wanted.removesuffix(".py").replace("/", ".")
        return f"[{label}][{module}]" if module in documented else label

    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(link, text[end : fence.start()]), fence.group()]
        end = fence.end()
    return "".join([*parts, LINK.sub(link, text[end:])])


def _to(target: str, page: str) -> str:
    return posixpath.relpath(target, posixpath.dirname(page) or ".")
