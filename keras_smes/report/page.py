"""The page: sections of tables and plots in one self-contained file."""

import functools
from collections.abc import Callable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import keras_smes
from keras_smes.files import write_text
from keras_smes.report import figures, html_tables
from keras_smes.report.collect import Group, collect, same_test_rows
from keras_smes.report.html import Markup, element

MOST_NAMES = 3  # of groups in the title


def write_report(folders: Sequence[str | Path], out: str | Path) -> Path:
    """Writes a report of runs and experiments: metrics, settings, data, environment and cost side by side.

    The page is one file with its style and plots, without scripts. Data that a run did not store are marked
    as missing.

    Args:
        folders: Folders of runs and of experiments; see `collect`.
        out: The file; an existing one is replaced.

    Returns:
        The file.

    Raises:
        ValueError: A folder is neither a run nor an experiment, or a file can't be read.

    Example:

    >>> write_report(["runs/smes", "runs/mmoe"], "report.html").name
    'report.html'
    """
    page, out = to_html(collect(folders)), Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, page)
    return out


def to_html(groups: Sequence[Group]) -> str:
    """Returns the page of groups of runs."""
    sections: dict[str, list[Any]] = {
        "Quality": [*_notes(groups), *html_tables.quality(groups)],
        "Routing": [html_tables.routing(groups)],
        "Cost": [html_tables.cost(groups), _cost_figure(groups)],
        "Plots": [part for kind in figures.KINDS for part in _figures(kind, groups)],
        "Data": [html_tables.data(groups)],
        "Configuration": _configuration(groups),
        "Environment": [html_tables.environment(groups)],
    }
    body = [
        element("section", element("h2", name), *parts, id=name.lower()) for name, parts in sections.items()
    ]
    return Template(_read("page.html")).substitute(
        title=escape(_title(groups)),
        lead=escape(_lead(groups)),
        links="".join(element("a", name, href=f"#{name.lower()}") for name in sections),
        style=_read("page.css"),
        body="\n".join(body),
        version=keras_smes.__version__,
    )


def _title(groups: Sequence[Group]) -> str:
    names = [group.label for group in groups]
    return "Report: " + (", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} models")


def _lead(groups: Sequence[Group]) -> str:
    runs = sum(len(group.runs) for group in groups)
    data = ", ".join(dict.fromkeys(str(group.runs[0].config["data"]) for group in groups))
    lead = f"{runs} run{'s' * (runs > 1)} on {data}"
    if not same_test_rows(groups):
        return f"{lead}, tested on different rows."
    split = groups[0].runs[0].metrics["split"]["test"]
    dates = f" of {split['first_date']} to {split['last_date']}" if "first_date" in split else ""
    return f"{lead}, tested on {split['rows']:,} rows{dates}."


def _notes(groups: Sequence[Group]) -> list[Markup]:
    counts = {len(group.runs) for group in groups}
    each = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
    text = f"Mean ± standard deviation over seeds, {each} of each model."
    if counts == {1}:
        text = "One seed each: how far seeds differ isn't known."
    if not same_test_rows(groups):
        warning = "These runs were tested on different rows: their metrics are not comparable."
        return [element("p", text, class_="note"), element("p", warning, class_="warning")]
    if len(groups) > 1:
        text += " Bold is the best mean, by however little."
    return [element("p", text, class_="note")]


def _cost_figure(groups: Sequence[Group]) -> Markup:
    note = "Under the dotted line a model holds more parameters than it multiplies with for a row."
    figure = _figure("", _drawn(functools.partial(figures.cost_against_capacity, groups)))
    return element("div", element("p", note, class_="note"), element("div", figure, class_="grid"))


def _figures(kind: figures.Kind, groups: Sequence[Group]) -> list[Markup]:
    name = kind.title.lower().replace(" ", "-")
    drawn = {}
    for n, group in enumerate(groups):
        draw = functools.partial(figures.draw_run, kind, group.runs[0], f"{name}-{n}")
        drawn[_caption(group)] = _drawn(draw)
    if len(groups) > 1 and len(set(drawn.values())) == 1:  # all are missing, for one reason
        drawn = {"": next(iter(drawn.values()))}
    plots = [_figure(caption, own) for caption, own in drawn.items()]
    note = element("p", kind.note, class_="note")
    return [element("h3", kind.title), note, element("div", *plots, class_="grid")]


def _caption(group: Group) -> str:
    return group.label + (f", seed {group.runs[0].config['seed']}" if len(group.runs) > 1 else "")


def _drawn(draw: Callable[[], str]) -> Markup:
    """The plot, or the reason why it is missing."""
    try:
        return Markup(draw())
    except figures.Missing as reason:
        return element("p", f"Not drawn: {reason}.", class_="missing")


def _figure(caption: str, content: Markup) -> Markup:
    return element("figure", element("figcaption", caption) if caption else "", content)


def _configuration(groups: Sequence[Group]) -> list[Any]:
    everything = html_tables.settings(groups)
    if len(groups) == 1:
        return [everything]
    differing = html_tables.differing_settings(groups)
    return [differing or "", element("details", element("summary", "All settings"), everything)]


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
