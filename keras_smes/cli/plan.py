"""`keras-smes plan`: estimates memory, arithmetic and traffic of a model on a cluster."""

import argparse
import json

from keras_smes.cli.options import Commands
from keras_smes.console import show


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "plan", help="estimate memory, arithmetic and traffic of a model on a cluster"
    )
    parser.add_argument("config", metavar="CONFIG", help="YAML or JSON with `model` and `cluster`, or a run")
    parser.add_argument("--json", action="store_true", help="print JSON, in units and bytes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from keras_smes.planning import make_plan, read_plan
    from keras_smes.planning.plan import to_text

    plan = make_plan(*read_plan(arguments.config))
    show(json.dumps(plan.to_dict(), indent=2) if arguments.json else to_text(plan))
