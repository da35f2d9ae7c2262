"""`keras-smes train`: trains a ranker and evaluates it on later rows."""

import argparse

from keras_smes.cli.evaluate import show_metrics
from keras_smes.cli.options import Commands, add_run_options, date, read_document, run_values
from keras_smes.console import show

SPLIT = ("train_until", "test_from", "test_until", "test_days")


def add(commands: Commands) -> None:
    parser = commands.add_parser("train", help="train a ranker and evaluate it on later rows")
    add_run_options(parser)
    _add_split(parser)
    parser.add_argument(
        "--from",
        dest="start",
        metavar="RUN",
        help="continue from a finished run; its configuration is the default",
    )
    parser.add_argument(
        "--from-date", type=date, metavar="DATE", help="with --from: train on rows from this date on"
    )
    parser.add_argument("--fresh", action="store_true", help="start over where a run is unfinished")
    parser.add_argument(
        "--checkpoint-minutes",
        type=float,
        default=5.0,
        metavar="M",
        help="minutes between checkpoints within an epoch; default: 5",
    )
    parser.add_argument(
        "--keep-checkpoints", action="store_true", help="keep checkpoints of the finished run"
    )
    parser.add_argument("--tensorboard", action="store_true", help="write curves to RUN/tensorboard")
    parser.add_argument(
        "--data-service",
        metavar="grpc://HOST:PORT",
        help="address of a tf.data service that makes the batches",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from keras_smes.training import RunConfig, RunOptions, train_run
    from keras_smes.training.default_configs import with_usual

    document = read_document(arguments)
    values = run_values(arguments, document)
    dates = {name: getattr(arguments, name) for name in SPLIT}
    if stated := {name: value for name, value in dates.items() if value is not None}:
        values["split"] = stated  # replaces the whole split, whose parts could contradict
    names = ("fresh", "checkpoint_minutes", "keep_checkpoints", "tensorboard", "data_service")
    options = RunOptions(**{name: getattr(arguments, name) for name in names})
    out, data_dir = arguments.out, arguments.data_dir
    with document.errors():
        if arguments.start is not None:
            from keras_smes.incremental import continue_run

            metrics = continue_run(arguments.start, out, values, data_dir, arguments.from_date, options)
        elif arguments.from_date is None:
            metrics = train_run(RunConfig.from_dict(with_usual(values)), out, data_dir, options)
        else:
            raise ValueError(f"`--from-date` goes with `--from RUN`. Received: {arguments.from_date}")
    show_metrics(metrics)
    show(f"\nThe run is in {arguments.out}.")


def _add_split(parser: argparse.ArgumentParser) -> None:
    split = parser.add_argument_group(
        "split",
        "instead of the configuration's `split`; default: the data set's own, and with --from the last day "
        "tests",
    )
    split.add_argument("--train-until", type=date, metavar="DATE", help="last day to train on")
    split.add_argument("--test-from", type=date, metavar="DATE", help="first day to test on")
    split.add_argument("--test-until", type=date, metavar="DATE", help="last day to test on")
    split.add_argument("--test-days", type=int, metavar="N", help="or: test on the last N days")
