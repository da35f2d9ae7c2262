"""`keras-smes experiment`: compares models over seeds."""

import argparse
from pathlib import Path

from keras_smes.cli.options import Commands, add_data_dir, add_no_figures
from keras_smes.console import show


def add(commands: Commands) -> None:
    parser = commands.add_parser("experiment", help="compare models over seeds; resumes where it stopped")
    parser.add_argument("config", metavar="CONFIG", help="YAML or JSON of an Experiment")
    add_data_dir(parser)
    parser.add_argument(
        "--out", metavar="DIR", help="folder of the results; default: CONFIG without its ending"
    )
    parser.add_argument(
        "--part",
        type=int,
        nargs=2,
        default=(0, 1),
        metavar=("I", "N"),
        help="do every N-th seed, from the I-th on",
    )
    parser.add_argument("--report", action="store_true", help="write the table of the finished runs only")
    add_no_figures(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from keras_smes.experiments import Experiment, run_experiment, write_report

    experiment = Experiment.read(arguments.config)
    out = Path(arguments.out) if arguments.out else Path(arguments.config).with_suffix("")
    figures = not arguments.no_figures
    if arguments.report:
        write_report(experiment, out, figures)
    else:
        run_experiment(experiment, out, arguments.data_dir, tuple(arguments.part), figures)
    show((out / "README.md").read_text(encoding="utf-8"))
    show(f"The results are in {out}.")
