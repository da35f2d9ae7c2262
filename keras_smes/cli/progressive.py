"""`keras-smes progressive`: trains day by day, tests on the next day, exports what passes the gate."""

import argparse
from pathlib import Path
from typing import Any

from keras_smes.cli.options import (
    HELD_BACK,
    Commands,
    add_gate_options,
    add_no_figures,
    add_run_options,
    date,
    read_document,
    read_gate,
    run_values,
)
from keras_smes.console import show


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "progressive", help="train day by day, each run from the last, tested on the next day"
    )
    add_run_options(parser)
    parser.add_argument("--from", dest="start", metavar="RUN", help="continue from a finished run")
    parser.add_argument("--from-date", type=date, metavar="DATE", help="first day to train on")
    parser.add_argument("--to-date", type=date, metavar="DATE", help="last day to test on")
    add_no_figures(parser)
    parser.add_argument(
        "--export-to", metavar="MODELS/NAME", help="export models that pass the gate; needs --gate"
    )
    add_gate_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from keras_smes.incremental import Days, Export, validate_progressively
    from keras_smes.incremental.progressive import last_gate_failed

    gate = read_gate(arguments)
    if (gate is None) != (arguments.export_to is None):
        raise ValueError(
            f"`--export-to` and `--gate` go together. Received: export_to={arguments.export_to}, gate={gate}"
        )
    results = validate_progressively(
        _read_config(arguments),
        arguments.out,
        Days(arguments.from_date, arguments.to_date),
        arguments.data_dir,
        run=arguments.start,
        export=None if gate is None else Export(arguments.export_to, gate),
        figures=not arguments.no_figures,
    )
    show((Path(arguments.out) / "README.md").read_text(encoding="utf-8"))
    return HELD_BACK if gate is not None and last_gate_failed(results) else 0


def _read_config(arguments: argparse.Namespace) -> Any:
    """Returns the `RunConfig` from the file and the options, or from the run that is continued and these."""
    from keras_smes.incremental.run import successor_values
    from keras_smes.training import RunConfig
    from keras_smes.training.default_configs import with_usual
    from keras_smes.training.run_folder import load_config

    document = read_document(arguments)
    values = run_values(arguments, document)
    if arguments.start is None:
        values = with_usual(values)
    else:
        values = successor_values(load_config(arguments.start), values)
    with document.errors():
        return RunConfig.from_dict(values)
