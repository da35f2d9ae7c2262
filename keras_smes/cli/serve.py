"""`keras-smes serve`: serves an exported model."""

import argparse

from keras_smes.cli.options import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "serve",
        help="serve an exported model over gRPC (flags of tensorflow_model_server)",
        add_help=False,
        prefix_chars="\0",  # the server parses the flags: here they are values
    )
    parser.add_argument("flags", nargs=argparse.REMAINDER)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from keras_smes_serving.server.main import serve

    return serve(arguments.flags)
