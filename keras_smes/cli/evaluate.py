"""`keras-smes evaluate`: evaluates a run on other rows."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_smes.cli.options import Commands, add_data_dir, date
from keras_smes.console import show
from keras_smes.formatting import metric, text_table, title

# The metrics of binary tasks, of regression and ordinal tasks, and within requests.
OF_LABELS = ("auc", "gauc", "logloss", "positives", "rows")
OF_NUMBERS = ("mae", "rmse", "xauc", "rows")
OF_REQUESTS = ("request_auc", "request_ndcg", "requests")


def add(commands: Commands) -> None:
    parser = commands.add_parser("evaluate", help="evaluate a run on other rows")
    parser.add_argument("run_folder", metavar="RUN")
    add_data_dir(parser)
    parser.add_argument(
        "--from", dest="first", type=date, metavar="DATE", help="first date, such as 2022-05-05"
    )
    parser.add_argument("--to", dest="last", type=date, metavar="DATE", help="last date")
    parser.add_argument("--json", metavar="FILE", help="also write the metrics there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from keras_smes.training import evaluate_run
    from keras_smes.training.run_folder import write_json

    metrics = evaluate_run(arguments.run_folder, arguments.data_dir, arguments.first, arguments.last)
    show_metrics(metrics)
    if arguments.json:
        write_json(Path(arguments.json), metrics)


def show_metrics(metrics: Mapping[str, Any]) -> None:
    """Prints the metrics of each task, and the expert utilisation."""
    for names in (OF_LABELS, OF_NUMBERS, OF_REQUESTS):
        tasks = {task: own for task, own in metrics["tasks"].items() if set(names) <= own.keys()}
        if tasks:
            rows = [[task, *(metric(name, own[name]) for name in names)] for task, own in tasks.items()]
            show("\n" + text_table(["task", *map(title, names)], rows))
    if routing := metrics["routing"]:
        show(
            f"\nexecuted experts per instance: mean {metric('union_mean', routing['union_mean'])}, "
            f"bound {routing['union_bound']}, of {routing['num_experts']} in the pool\n"
            f"expert load: maximum over mean {metric('load_max_over_mean', routing['load_max_over_mean'])}, "
            f"dead experts {routing['dead_experts']}"
        )
    if unusual := metrics["unusual"]["test"]:
        show(f"\nunusual values of test rows: {_most_frequent(unusual)}")


def _most_frequent(unusual: Mapping[str, Mapping[str, int]], shown: int = 6) -> str:
    counts = [(name, count, kind) for name, own in unusual.items() for kind, count in own.items()]
    counts.sort(key=lambda entry: -entry[1])
    texts = [f"{name} {count} {kind}" for name, count, kind in counts]
    more = len(texts) - shown
    return ", ".join(texts[:shown]) + (f", and {more} more counts in the metrics" if more > 0 else "")
