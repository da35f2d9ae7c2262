"""A first declaration of a log, as YAML with comments, from what was seen of its files."""

import json
from collections.abc import Sequence

from keras_smes.data.log.describe import ColumnFacts, Description

TEST_DAYS = 1


def draft(description: Description, files: Sequence[str], name: str = "log") -> str:
    """Returns the YAML text of a `Log`, to be read over: each guess stands beside what it rests on.

    Args:
        description: What `describe` saw.
        files: The paths, as the file is to name them.
        name: Name of the log. Defaults to `"log"`.
    """
    lines = [
        f"# Drafted from {description.rows} rows of {description.files} files.",
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
        lines.append('time_zone: "UTC"' + " " * 28 + "# where a day begins")
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
            "# No column of 0 and 1 looks like a label. Name the tasks, such as",
            '# - {kind: binary, name: income, label: income_50k, positive: ["50000+."]}',
            f"# Columns of two values: {', '.join(_of_two_values(description)) or 'none'}",
            "tasks: []",
        ]
    lines = ["tasks:"]
    for label, rate in description.labels.items():
        lines.append(f"- {json.dumps(label)}" + " " * 20 + f"# rate {rate:.4f}{_by_day(description, label)}")
    return lines


def _of_two_values(description: Description) -> list[str]:
    return [name for name, facts in description.columns.items() if facts.distinct == 2]


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
    if twins:
        lines.append("ignore:")
        lines += [
            f"- {json.dumps(name)}" + " " * 20 + f"# the same as {twin}" for name, twin in twins.items()
        ]
    return lines


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
    if facts.nulls:
        words.append(f"{facts.nulls:.1%} null")
    return ", ".join(words)
