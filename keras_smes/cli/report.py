"""`keras-smes report`: writes one HTML page that compares runs."""

import argparse

from keras_smes.cli.options import Commands
from keras_smes.console import show


def add(commands: Commands) -> None:
    parser = commands.add_parser("report", help="write one HTML page that compares runs")
    parser.add_argument(
        "folders", nargs="+", metavar="RUN", help="folders of runs, or of experiments' results"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the page, such as report.html")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from keras_smes.report import write_report

    show(f"The report is {write_report(arguments.folders, arguments.out)}.")
