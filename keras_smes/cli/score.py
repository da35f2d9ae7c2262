"""`keras-smes score`: writes a run's scores of many rows as Parquet."""

import argparse
import sys

from keras_smes.cli.options import Commands, add_data_dir, date
from keras_smes.console import show


def add(commands: Commands) -> None:
    parser = commands.add_parser("score", help="write a run's scores of many rows as Parquet")
    parser.add_argument("run_folder", metavar="RUN")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder of the parts; resumed if unfinished"
    )
    parser.add_argument(
        "--data", metavar="NAME", help="the YAML of a log, labels not needed; default: the run's own data"
    )
    add_data_dir(parser)
    parser.add_argument(
        "--keys",
        nargs="+",
        metavar="COLUMN",
        help="columns written beside the scores; default: user, time and the log's `unique` columns",
    )
    parser.add_argument("--from", dest="first", type=date, metavar="DATE", help="first date")
    parser.add_argument("--to", dest="last", type=date, metavar="DATE", help="last date")
    parser.add_argument("--part-rows", type=int, metavar="N", help="rows of a part; default: 262144")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from keras_smes.training import ScoreSource, score_run

    names = ("data", "data_dir", "keys", "first", "last")
    source = ScoreSource(**{name: getattr(arguments, name) for name in names})
    options = {} if arguments.part_rows is None else {"part_rows": arguments.part_rows}
    done = score_run(arguments.run_folder, arguments.out, source, **options, verbose=int(sys.stdout.isatty()))
    counts = f"rows: {done['rows']}, parts: {done['parts']}, written now: {done['written']}"
    show(f"The scores are in {arguments.out}: {counts}.")
