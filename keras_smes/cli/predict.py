"""`keras-smes predict`: requests scores from a server."""

import argparse
import json

from keras_smes.cli.options import Commands
from keras_smes.console import show


def add(commands: Commands) -> None:
    parser = commands.add_parser("predict", help="request scores from a server")
    parser.add_argument("--address", required=True, metavar="HOST:PORT")
    parser.add_argument("--model", required=True, metavar="NAME")
    parser.add_argument(
        "--rows", required=True, metavar="FILE", help="one JSON object of features per line; - is stdin"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, metavar="N", help="default: the newest")
    which.add_argument("--label", metavar="LABEL", help="a label of the server's configuration")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="default: 30")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from keras_smes_serving.client import Client, ServingError, rows_to_columns
    from keras_smes_serving.client.rows_file import read_rows

    rows = read_rows(arguments.rows)
    try:
        with Client(arguments.address, arguments.timeout) as client:
            which = {"version": arguments.version, "label": arguments.label}
            spec = client.metadata(arguments.model, **which)["serving_default"]
            scores = client.predict(arguments.model, rows_to_columns(rows, spec), **which)
    except ServingError as error:
        raise ValueError(f"no scores from {arguments.address}: {error}") from error
    for row in zip(*(scores[task].tolist() for task in scores), strict=True):
        show(json.dumps(dict(zip(scores, row, strict=True))))
