"""`keras-smes features`: writes a run's statistics and histories as of a day, for serving."""

import argparse

from keras_smes.cli.options import Commands, add_data_dir, date
from keras_smes.console import show


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "features", help="write a run's statistics and histories as of a day, for serving"
    )
    parser.add_argument("run_folder", metavar="RUN")
    parser.add_argument(
        "--as-of", type=date, required=True, metavar="DATE", help="what is known at the start of this day"
    )
    parser.add_argument("--to", required=True, metavar="DIR", help="folder of the tables' versions")
    add_data_dir(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from keras_smes.data import FeatureTables
    from keras_smes.incremental import write_features

    folder = write_features(arguments.run_folder, arguments.as_of, arguments.to, arguments.data_dir)
    tables = FeatureTables.read(folder)
    for table in tables.tables:
        show(f"{table.file}: {table.rows.height} keys of {', '.join(table.columns)}")
    show(f"The features as of {tables.as_of} are in {folder}.")
