"""`keras-smes export`: writes a run as a version that TF Serving or Triton loads."""

import argparse
from typing import Any

from keras_smes.cli.options import HELD_BACK, Commands, add_gate_options, read_gate
from keras_smes.console import show


def add(commands: Commands) -> None:
    parser = commands.add_parser("export", help="export a run as a version that TF Serving or Triton loads")
    parser.add_argument("run_folder", metavar="RUN")
    parser.add_argument("--to", required=True, metavar="MODELS/NAME", help="folder of the model's versions")
    parser.add_argument(
        "--format",
        choices=("saved_model", "onnx"),
        default="saved_model",
        help="default: saved_model; onnx writes a model of Triton's repository",
    )
    parser.add_argument("--version", type=int, metavar="N", help="default: the next one")
    parser.add_argument(
        "--batch-sizes",
        type=int,
        nargs="+",
        metavar="B",
        help="allowed_batch_sizes of a server that batches, whose warm-up leaves `rank` out",
    )
    parser.add_argument(
        "--signatures", nargs="+", metavar="NAME", help="default: all; a batching server can't serve `rank`"
    )
    parser.add_argument(
        "--xla", action="store_true", help="also MODELS/NAME-xla, for servers started with XLA enabled"
    )
    parser.add_argument(
        "--with-features", metavar="DIR", help="put the tables in this folder of `features` into the graph"
    )
    parser.add_argument("--runtime", metavar="DIR", help="verify on the tensorflow installed there")
    add_gate_options(parser)
    parser.add_argument("--data-dir", metavar="DIR", help="with --within: folder of the data set's files")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    _check_format(arguments)
    if (verdict := _judged(arguments)) is not None:
        show(f"The gate {'passed' if verdict.passed else 'failed'}: {verdict.reason}.")
        if not verdict.passed:
            return HELD_BACK
    if arguments.format == "onnx":
        _export_to_onnx(arguments)
    else:
        _export_saved_model(arguments)
    return 0


def _check_format(arguments: argparse.Namespace) -> None:
    """Rejects options that only SavedModels have."""
    own = ("xla", "signatures", "runtime", "with_features", "within")
    given = [f"--{name.replace('_', '-')}" for name in own if getattr(arguments, name) not in (None, False)]
    if arguments.format == "onnx" and given:
        raise ValueError(f"`--format onnx` must be without options of SavedModels. Received: {given}")


def _export_to_onnx(arguments: argparse.Namespace) -> None:
    from keras_smes.export import export_run_to_onnx

    options = {name: getattr(arguments, name) for name in ("version", "batch_sizes")}
    given = {name: value for name, value in options.items() if value is not None}
    made = export_run_to_onnx(arguments.run_folder, arguments.to, **given)
    show(f"Exported to {made.folder}, with {made.config.name} beside it.")
    show(
        f"Verified in {made.proof.runtime}: {made.proof.requests} requests agree with Keras within "
        f"{made.proof.difference:.1e}."
    )


def _export_saved_model(arguments: argparse.Namespace) -> None:
    from keras_smes.export import export_folders

    names = ("version", "batch_sizes", "signatures", "runtime", "with_features")
    options = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    options["batching"] = arguments.batch_sizes is not None
    folders = {arguments.to: False, **({f"{arguments.to}-xla": True} if arguments.xla else {})}
    for made in export_folders(arguments.run_folder, folders, **options):
        show(f"Exported to {made.folder}: {', '.join(made.signatures)}.")
        show(
            f"Verified on TensorFlow {made.proof.runtime}: {made.proof.requests} requests agree with Keras "
            f"within {made.proof.difference:.1e}; warm-up of {made.warmup_records} requests."
        )


def _judged(arguments: argparse.Namespace) -> Any:
    """The gate's verdict on the run; `None` without a gate."""
    if arguments.gate is None and arguments.at_least is None and arguments.within is None:
        return None
    from keras_smes.incremental import judge_run

    return judge_run(arguments.run_folder, arguments.to, read_gate(arguments), arguments.data_dir)
