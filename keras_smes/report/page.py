"""The page: tables and plots in one self-contained file, from the template `page.html`."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

import keras_smes
from keras_smes.files import write_text
from keras_smes.report import figures, tables
from keras_smes.report.collect import Group, collect, same_test_rows

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
    seeds = [len(group.runs) for group in groups]
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_smes", "report"),
        autoescape=jinja2.select_autoescape(),
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return templates.get_template("page.html").render(
        title=_title(groups),
        runs=sum(seeds),
        fewest_seeds=min(seeds),
        most_seeds=max(seeds),
        data=", ".join(dict.fromkeys(str(group.runs[0].config["data"]) for group in groups)),
        test=groups[0].runs[0].metrics["split"]["test"] if same_test_rows(groups) else None,
        groups=groups,
        tables=tables,
        cost_plot=_drawn(functools.partial(figures.cost_against_capacity, groups)),
        plots=[(kind, _plots(kind, groups)) for kind in figures.KINDS],
        version=keras_smes.__version__,
    )


def _title(groups: Sequence[Group]) -> str:
    names = [group.label for group in groups]
    return "Report: " + (", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} models")


def _plots(kind: figures.PlotKind, groups: Sequence[Group]) -> dict[str, str]:
    """The plot of each group, or why it is missing, by caption; one reason that all share is without."""
    name = kind.title.lower().replace(" ", "-")
    drawn = {
        _caption(group): _drawn(functools.partial(figures.draw_run, kind, group.runs[0], f"{name}-{n}"))
        for n, group in enumerate(groups)
    }
    reasons = set(drawn.values())
    return {"": reasons.pop()} if len(groups) > 1 and len(reasons) == 1 else drawn


def _caption(group: Group) -> str:
    return group.label + (f", seed {group.runs[0].config['seed']}" if len(group.runs) > 1 else "")


def _drawn(draw: Callable[[], str]) -> str:
    """The plot as markup, or the reason why it is missing as text."""
    try:
        return Markup(draw())
    except figures.Missing as reason:
        return str(reason)
