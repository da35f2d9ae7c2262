"""Options and values that several commands share."""

import argparse
import datetime
from collections.abc import Mapping
from typing import Any, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

HELD_BACK = 3  # the exit code where a quality gate failed


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of data, model and run folder."""
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="the YAML of a log, or kuairand-pure, movielens-100k, simulated, ...; default: that of --config "
        "or of --from",
    )
    add_data_dir(parser)
    parser.add_argument("--model", metavar="NAME", help="smes (default), mmoe, ple, ...")
    parser.add_argument(
        "--out", required=True, metavar="RUN", help="folder of the run; an unfinished one is resumed"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="JSON or YAML of RunConfig values; other options override it"
    )
    parser.add_argument("--epochs", type=int, metavar="N")
    parser.add_argument("--seed", type=int, metavar="N")


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data set's files")


def add_no_figures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-figures", action="store_true", help="draw no plots, which need Matplotlib")


def read_document(arguments: argparse.Namespace) -> Any:
    """Returns the file of `--config`, or an empty one."""
    from keras_smes.configuration.document import Document

    if arguments.config is None:
        return Document("{}", "--config", is_json=True)
    return Document.read(arguments.config)


def run_values(arguments: argparse.Namespace, document: Any) -> dict[str, Any]:
    """Returns the values of `RunConfig` from the file and the options."""
    values = dict(document.values)
    chosen = {name: getattr(arguments, name) for name in ("data", "model", "seed")}
    values |= {name: value for name, value in chosen.items() if value is not None}
    if "data" not in values and arguments.start is None:
        raise ValueError(
            "`--data` must name a data set or the YAML of a log, or `--config` must have `data`. "
            f"Received: --data={arguments.data}, --config={arguments.config}"
        )
    training = values.get("training", {})
    if arguments.epochs is not None and isinstance(training, Mapping):  # otherwise rejected later
        values["training"] = {**training, "epochs": arguments.epochs}
    return values


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a quality gate."""
    parser.add_argument(
        "--gate",
        nargs=2,
        metavar=("TASK", "METRIC"),
        help="export only if the metric passes, else exit code 3",
    )
    parser.add_argument("--at-least", type=float, metavar="X", help="the worst accepted value")
    parser.add_argument(
        "--within",
        type=float,
        metavar="D",
        help="or how much worse than the last exported version it may be",
    )


def read_gate(arguments: argparse.Namespace) -> Any:
    """Returns the `QualityGate` of the options; `None` without one."""
    from keras_smes.incremental import QualityGate
    from keras_smes.training import MetricOfTask

    bounds = (arguments.at_least, arguments.within)
    if arguments.gate is None:
        if bounds != (None, None):
            raise ValueError(f"`--at-least` and `--within` go with `--gate`. Received: {bounds}")
        return None
    return QualityGate(MetricOfTask(*arguments.gate), *bounds)


def date(text: str) -> datetime.date:
    """Parses an option such as 2022-05-05."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a date such as 2022-05-05, received {text!r}") from None
