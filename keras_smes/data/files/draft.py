"""A draft of a log's declaration, as YAML with comments, from the description of its files."""

import json
import re
from collections.abc import Sequence

from keras_smes.data.files.describe import ColumnFacts, Description
from keras_smes.tasks.task import OTHER_OUTPUTS
from keras_smes.validation import NAME_PATTERN

TEST_DAYS = 1


def draft(description: Description, files: Sequence[str], name: str = "log") -> str:
    """Returns the YAML text of a `Log`, to be read over: each guess stands beside what it rests on.

    Args:
        description: What `describe` saw.
        files: The paths, as the file is to name them.
        name: Name of the log. Defaults to `"log"`.

    Returns:
        YAML with comments; `Log.read` reads its file.

    Example:

    >>> from keras_smes.data import describe
    >>> data.frame.write_csv(folder / "log.csv")
    >>> text = draft(describe(["log.csv"], folder), ["log.csv"])
    >>> [line.split()[1] for line in text.splitlines() if line.startswith("user:")]
    ['"user_id"']
    """
    lines = [
        f"# Drafted from {description.rows} rows; files: {description.files}.",
        "# Roles are guesses: read it over.",
        f"name: {json.dumps(name)}",
        f"files: {json.dumps(list(files))}",
        *_roles(description),
        *_tasks(description),
        *_left_out(description),
        "features: auto" + " " * 30 + "# each column without a role; its kind by the training rows",
        *_split(description),
        *_columns(description),
    ]
    return "\n".join(lines) + "\n"


def _roles(description: Description) -> list[str]:
    lines = []
    if description.user is None:
        lines.append("# user: ...                                 # no column of users found: no GAUC")
    else:
        lines.append(f"user: {json.dumps(description.user)}")
    if description.time is not None:
        column, unit = description.time
        stamp = description.columns[column].dtype.startswith("Datetime")
        lines.append(f"time: {json.dumps(column) if stamp else json.dumps({'column': column, 'unit': unit})}")
        lines.append(f"time_zone: {json.dumps(description.time_zone)}" + " " * 28 + "# where a day begins")
        if not description.is_sorted:
            lines.append("# Rows are not in order of time: they are sorted when they are read.")
    if description.date is not None:
        lines.append(f"date: {json.dumps(description.date)}")
    if description.missing_days:
        lines.append(f"# Days without rows: {', '.join(description.missing_days)}")
    return lines


def _tasks(description: Description) -> list[str]:
    if not description.labels:
        return [
            "# No column of 0 and 1 was found. Name the tasks, such as",
            *(f"# {_task(description, name)}" for name in description.positive),
            "# - {name: long_view, label: watch_ms, at_least: 10000}",
            "tasks: []",
        ]
    lines = ["tasks:"]
    for label, rate in description.labels.items():
        said = f"# rate {rate:.4f}{_by_day(description, label)}"
        lines.append(_task(description, label) + " " * 20 + said)
    return lines


def _task(description: Description, label: str) -> str:
    name = _task_name(label)
    if name == label and label not in description.positive:
        return f"- {json.dumps(label)}"
    parts = [f"name: {json.dumps(name)}"]
    if name != label:
        parts.append(f"label: {json.dumps(label)}")
    if label in description.positive:
        parts.append(f"positive: [{json.dumps(description.positive[label])}]")
    return f"- {{{', '.join(parts)}}}"


def _task_name(label: str) -> str:
    """Returns the name of a label's column, or one near to it that a ranker can serve."""
    name = re.sub(r"[^a-zA-Z0-9_]", "_", label)
    return name if NAME_PATTERN.fullmatch(name) and name not in OTHER_OUTPUTS else f"is_{name}"


def _by_day(description: Description, label: str) -> str:
    rates = [rate for rate in description.rates.get(label, {}).values() if rate is not None]
    return f", by day {min(rates):.4f} to {max(rates):.4f}" if len(rates) > 1 else ""


def _left_out(description: Description) -> list[str]:
    lines = []
    reasons = dict.fromkeys(description.afterwards, "named as what is known only afterwards")
    reasons |= {
        name: f"alone tells {label}: AUC {area:.4f}" for name, (label, area) in description.leaks.items()
    }
    if reasons:
        lines.append("# Known only after the impression? What isn't, remove here: it is a feature then.")
        lines.append("outcomes:")
        lines += [f"- {json.dumps(name)}" + " " * 20 + f"# {why}" for name, why in reasons.items()]
    twins = {name: facts.same_as for name, facts in description.columns.items() if facts.same_as}
    twins = {name: twin for name, twin in twins.items() if not _has_role(description, name)}
    ignored = {name: f"the same as {twin}" for name, twin in twins.items()} | _other_roles(description)
    if ignored:
        lines.append("ignore:")
        lines += [f"- {json.dumps(name)}" + " " * 20 + f"# {why}" for name, why in ignored.items()]
    return lines


def _other_roles(description: Description) -> dict[str, str]:
    """Columns that are no features, and whose role is for the reader to choose."""
    roles = {
        description.request: "or, in place of this, `request:` for metrics within it",
        description.weight: "or, in place of this, `weight:` of the rows in losses",
    }
    return {name: why for name, why in roles.items() if name is not None}


def _has_role(description: Description, name: str) -> bool:
    time = None if description.time is None else description.time[0]
    return name in (
        description.user,
        time,
        description.date,
        *description.labels,
        *description.leaks,
        *description.afterwards,
    )


def _split(description: Description) -> list[str]:
    if description.time is None and description.date is None:
        return ["split: {test_fraction: 0.1, by: hash, seed: 0}  # no column of time or day was found"]
    return [f"split: {{test_days: {TEST_DAYS}}}"]


def _columns(description: Description) -> list[str]:
    lines = ["#", "# What the columns hold:"]
    for name, facts in description.columns.items():
        lines.append(f"#   {name}: {facts.dtype}, {_words(facts)}")
    return lines


def _words(facts: ColumnFacts) -> str:
    words = [f"{facts.distinct} values"]
    if facts.distinct <= 1:
        words = ["constant" if facts.distinct else "empty"]
    elif facts.once > 0.5:
        words.append(f"{facts.once:.0%} of them in one row only")
    if facts.no_numbers:
        words.append(f"numbers but for {', '.join(map(repr, facts.no_numbers))}")
    if facts.nulls:
        words.append(f"{facts.nulls:.1%} null")
    return ", ".join(words)
