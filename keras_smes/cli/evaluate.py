"""`keras-smes evaluate`: evaluates a run on other rows."""

import argparse
from pathlib import Path

from keras_smes.cli.metrics_table import show_metrics
from keras_smes.cli.options import Commands, add_data_dir, date


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
