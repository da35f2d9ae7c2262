"""The command line: parses, calls, prints.

Imports stand in the commands: each needs its own extras, and no others.
"""

import argparse
import datetime
import errno
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What is printed of a task's figures: of binary tasks, and of watch time and ordinal ones.
OF_LABELS = {"auc": "AUC", "gauc": "GAUC", "logloss": "log loss", "positives": "positives", "rows": "rows"}
OF_NUMBERS = {"mae": "MAE", "rmse": "RMSE", "xauc": "XAUC", "rows": "rows"}
OF_REQUESTS = {"request_auc": "req. AUC", "request_ndcg": "NDCG", "requests": "requests"}
HELD_BACK = 3  # the exit code where a quality gate failed
SPLIT = ("train_until", "test_from", "test_until", "test_days")
MISTAKES = (ValueError, OSError, ImportError, FloatingPointError)
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code.

    A user's mistake, or a disk that is full, is one line on stderr and code 2; a model held back by a gate is
    code 3.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its advice hides what we print
    if argv[:1] == ["serve"]:  # its flags are those of tensorflow_model_server, not ours
        from keras_smes_serving.server.main import serve

        return serve(argv[1:])
    arguments = _parser().parse_args(argv)
    try:
        code: int | None = arguments.run(arguments)
    except Exception as error:
        if not isinstance(error, MISTAKES) and not _is_of_the_disk(error):
            raise
        print(f"keras-smes {arguments.command}: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    return code or 0


def _is_of_the_disk(error: Exception) -> bool:
    """Whether TensorFlow could not write a file: no OSError, but it has the text of one."""
    is_theirs = type(error).__module__.startswith("tensorflow.")
    return is_theirs and any(os.strerror(number) in str(error) for number in OF_THE_DISK)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "keras-smes", description="Sparse mixture-of-experts for multi-task ranking."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_describe(commands.add_parser("describe", help="look at files and draft the YAML of a log"))
    _add_train(commands.add_parser("train", help="train a ranker and evaluate it on later rows"))
    _add_progressive(
        commands.add_parser("progressive", help="train on a day, test on the next, go on from there")
    )
    _add_evaluate(commands.add_parser("evaluate", help="evaluate a run on other rows"))
    _add_score(commands.add_parser("score", help="write a run's scores of many rows as Parquet"))
    _add_experiment(
        commands.add_parser("experiment", help="compare models over seeds; goes on where it stopped")
    )
    _add_plan(commands.add_parser("plan", help="count what a model takes on a cluster, on paper"))
    _add_report(commands.add_parser("report", help="write one HTML page about runs, side by side"))
    _add_features(
        commands.add_parser(
            "features", help="write a run's statistics and histories as of a day, for serving"
        )
    )
    _add_export(commands.add_parser("export", help="write a run as a version that TF Serving loads"))
    commands.add_parser("serve", help="serve an exported model over gRPC (flags of tensorflow_model_server)")
    _add_predict(commands.add_parser("predict", help="ask a server for scores"))
    return parser


def _add_describe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILES", help="Parquet, CSV or TSV: paths, globs, folders"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="write the YAML there, such as log.yaml; default: print it"
    )
    parser.set_defaults(run=_describe)


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    _add_split(parser)
    parser.add_argument(
        "--from",
        dest="start",
        metavar="RUN",
        help="go on from a finished run; its configuration is the default",
    )
    parser.add_argument(
        "--from-date", type=_date, metavar="DATE", help="with --from: train on rows from this date on"
    )
    parser.add_argument("--fresh", action="store_true", help="start an unfinished run over")
    parser.add_argument(
        "--checkpoint-minutes", type=float, default=5.0, metavar="M", help="within an epoch; default: 5"
    )
    parser.add_argument("--keep-checkpoints", action="store_true", help="also when the run is finished")
    parser.add_argument("--tensorboard", action="store_true", help="write curves to RUN/tensorboard")
    parser.add_argument(
        "--data-service", metavar="grpc://HOST:PORT", help="a tf.data service that makes the batches"
    )
    parser.set_defaults(run=_train)


def _add_run(parser: argparse.ArgumentParser) -> None:
    """What says what is trained, and where it goes."""
    parser.add_argument(
        "--data",
        required=True,
        metavar="NAME",
        help="the YAML of a log, or kuairand-pure, movielens-100k, simulated, ...",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where its files lie")
    parser.add_argument("--model", metavar="NAME", help="smes (default), mmoe, ple, ...")
    parser.add_argument(
        "--out", required=True, metavar="RUN", help="folder of the run; an unfinished one is taken up"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="JSON or YAML of RunConfig values; other options override it"
    )
    parser.add_argument("--epochs", type=int, metavar="N")
    parser.add_argument("--seed", type=int, metavar="N")


def _add_split(parser: argparse.ArgumentParser) -> None:
    split = parser.add_argument_group(
        "split",
        "in place of the configuration's `split`; default: the data set's own, and with --from the last day "
        "tests",
    )
    split.add_argument("--train-until", type=_date, metavar="DATE", help="last day to train on")
    split.add_argument("--test-from", type=_date, metavar="DATE", help="first day to test on")
    split.add_argument("--test-until", type=_date, metavar="DATE", help="last day to test on")
    split.add_argument("--test-days", type=int, metavar="N", help="or: test on the last N days")


def _add_progressive(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    parser.add_argument("--from", dest="start", metavar="RUN", help="a finished run to go on from")
    parser.add_argument("--from-date", type=_date, metavar="DATE", help="first day to train on")
    parser.add_argument("--to-date", type=_date, metavar="DATE", help="last day to test on")
    parser.add_argument("--no-figures", action="store_true", help="without Matplotlib")
    parser.add_argument(
        "--export-to", metavar="MODELS/NAME", help="export what passes the gate; needs --gate"
    )
    _add_gate(parser)
    parser.set_defaults(run=_progressive)


def _add_gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gate", nargs=2, metavar=("TASK", "METRIC"), help="export only if this is good enough, else code 3"
    )
    parser.add_argument("--at-least", type=float, metavar="X", help="the gate's worst value")
    parser.add_argument(
        "--within",
        type=float,
        metavar="D",
        help="or how much worse than the version exported before it may be",
    )


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN")
    parser.add_argument("--data-dir", metavar="DIR", help="where the data set's files lie")
    parser.add_argument(
        "--from", dest="first", type=_date, metavar="DATE", help="first date, such as 2022-05-05"
    )
    parser.add_argument("--to", dest="last", type=_date, metavar="DATE", help="last date")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    parser.set_defaults(run=_evaluate)


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder of the parts; resumed if unfinished"
    )
    parser.add_argument(
        "--data", metavar="NAME", help="the YAML of a log, labels not needed; default: the run's own data"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where the data set's files lie")
    parser.add_argument(
        "--keys",
        nargs="+",
        metavar="COLUMN",
        help="columns written beside the scores; default: user, time and the log's `unique` columns",
    )
    parser.add_argument("--from", dest="first", type=_date, metavar="DATE", help="first date")
    parser.add_argument("--to", dest="last", type=_date, metavar="DATE", help="last date")
    parser.add_argument("--part-rows", type=int, metavar="N", help="rows of a part; default: 262144")
    parser.set_defaults(run=_score)


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="YAML or JSON of an Experiment")
    parser.add_argument("--data-dir", metavar="DIR", help="where the data set's files lie")
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
    parser.add_argument("--report", action="store_true", help="do no run: write the table of those finished")
    parser.add_argument("--no-figures", action="store_true", help="without Matplotlib")
    parser.set_defaults(run=_experiment)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="YAML or JSON with `model` and `cluster`, or a run")
    parser.add_argument("--json", action="store_true", help="print JSON, in units and bytes")
    parser.set_defaults(run=_plan)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", metavar="RUN", help="folders of runs, or of experiments' results"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the page, such as report.html")
    parser.set_defaults(run=_report)


def _add_features(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN")
    parser.add_argument(
        "--as-of", type=_date, required=True, metavar="DATE", help="what is known at the start of this day"
    )
    parser.add_argument("--to", required=True, metavar="DIR", help="folder of the tables' versions")
    parser.add_argument("--data-dir", metavar="DIR", help="where the data set's files lie")
    parser.set_defaults(run=_features)


def _add_export(parser: argparse.ArgumentParser) -> None:
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
        "--signatures", nargs="+", metavar="NAME", help="default: all; a batching server can't answer `rank`"
    )
    parser.add_argument(
        "--xla", action="store_true", help="also MODELS/NAME-xla, for servers started with XLA enabled"
    )
    parser.add_argument(
        "--with-features", metavar="DIR", help="put the tables that `features` wrote there into the graph"
    )
    parser.add_argument("--runtime", metavar="DIR", help="another installed tensorflow to prove it on")
    _add_gate(parser)
    parser.add_argument("--data-dir", metavar="DIR", help="with --within: where the data set's files lie")
    parser.set_defaults(run=_export)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", required=True, metavar="HOST:PORT")
    parser.add_argument("--model", required=True, metavar="NAME")
    parser.add_argument(
        "--rows", required=True, metavar="FILE", help="one JSON object of features a line; - is stdin"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, metavar="N", help="default: the newest")
    which.add_argument("--label", metavar="LABEL", help="a label of the server's configuration")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="default: 30")
    parser.set_defaults(run=_predict)


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a date such as 2022-05-05, received {text!r}") from None


def _describe(arguments: argparse.Namespace) -> None:
    from keras_smes.data import describe, draft
    from keras_smes.files import whole

    out = None if arguments.out is None else Path(arguments.out)
    if out is not None and out.exists():
        raise ValueError(f"`--out` must be a new file, so that nothing edited is lost. Received: {out}")
    folder = Path() if out is None else out.parent
    files = [os.path.relpath(path, folder) for path in arguments.files]
    text = draft(describe(files, folder), files, name="log" if out is None else out.stem)
    print(text)
    if out is not None:
        with whole(out) as partial:
            partial.write_text(text, encoding="utf-8")
        run = f"runs/{out.stem}"
        print(f"Written to {out}. Read it over, and then:\n")
        print(f"  keras-smes train --data {out} --out {run}")
        print(f"  keras-smes export {run} --to models/{out.stem}")


def _train(arguments: argparse.Namespace) -> None:
    from keras_smes.training import RunConfig, RunOptions, train_run

    document = _document(arguments)
    values = _run_values(arguments, document)
    dates = {name: getattr(arguments, name) for name in SPLIT}
    if stated := {name: value for name, value in dates.items() if value is not None}:
        values["split"] = stated  # as a whole: part of another way to cut would contradict it
    names = ("fresh", "checkpoint_minutes", "keep_checkpoints", "tensorboard", "data_service")
    options = RunOptions(**{name: getattr(arguments, name) for name in names})
    out, data_dir = arguments.out, arguments.data_dir
    with document.errors():
        if arguments.start is not None:
            from keras_smes.incremental import continue_run

            metrics = continue_run(arguments.start, out, values, data_dir, arguments.from_date, options)
        elif arguments.from_date is None:
            metrics = train_run(RunConfig.from_dict(values), out, data_dir, options)
        else:
            raise ValueError(f"`--from-date` goes with `--from RUN`. Received: {arguments.from_date}")
    print_metrics(metrics)
    print(f"\nThe run is in {arguments.out}.")


def _document(arguments: argparse.Namespace) -> Any:
    """What `--config` names; empty without."""
    from keras_smes.configuration.document import Document

    return (
        Document("{}", "--config", is_json=True)
        if arguments.config is None
        else Document.read(arguments.config)
    )


def _run_values(arguments: argparse.Namespace, document: Any) -> dict[str, Any]:
    """The values of `RunConfig` that a file and options state."""
    values = dict(document.values)
    chosen = {name: getattr(arguments, name) for name in ("data", "model", "seed")}
    values |= {name: value for name, value in chosen.items() if value is not None}
    training = values.get("training", {})
    if arguments.epochs is not None and isinstance(training, Mapping):  # else it is rejected as it is
        values["training"] = {**training, "epochs": arguments.epochs}
    return values


def _progressive(arguments: argparse.Namespace) -> int:
    from keras_smes.incremental import Days, Export, validate_progressively
    from keras_smes.incremental.progressive import last_gate_failed
    from keras_smes.incremental.run import successor_values
    from keras_smes.training import RunConfig
    from keras_smes.training.run_folder import load_config

    gate = _gate(arguments)
    if (gate is None) != (arguments.export_to is None):
        raise ValueError(
            f"`--export-to` and `--gate` go together. Received: export_to={arguments.export_to}, gate={gate}"
        )
    document = _document(arguments)
    values = _run_values(arguments, document)
    if arguments.start is not None:
        values = successor_values(load_config(arguments.start), values)
    with document.errors():
        config = RunConfig.from_dict(values)
    results = validate_progressively(
        config,
        arguments.out,
        Days(arguments.from_date, arguments.to_date),
        arguments.data_dir,
        arguments.start,
        None if gate is None else Export(arguments.export_to, gate),
        figures=not arguments.no_figures,
    )
    print((Path(arguments.out) / "README.md").read_text(encoding="utf-8"))
    return HELD_BACK if gate is not None and last_gate_failed(results) else 0


def _gate(arguments: argparse.Namespace) -> Any:
    from keras_smes.incremental import QualityGate
    from keras_smes.training import MetricOfTask

    bounds = (arguments.at_least, arguments.within)
    if arguments.gate is None:
        if bounds != (None, None):
            raise ValueError(f"`--at-least` and `--within` go with `--gate`. Received: {bounds}")
        return None
    return QualityGate(MetricOfTask(*arguments.gate), *bounds)


def _evaluate(arguments: argparse.Namespace) -> None:
    from keras_smes.training import evaluate_run
    from keras_smes.training.run_folder import write_json

    metrics = evaluate_run(arguments.run_folder, arguments.data_dir, arguments.first, arguments.last)
    print_metrics(metrics)
    if arguments.json:
        write_json(Path(arguments.json), metrics)


def _score(arguments: argparse.Namespace) -> None:
    from keras_smes.training import ScoreSource, score_run

    names = ("data", "data_dir", "keys", "first", "last")
    source = ScoreSource(**{name: getattr(arguments, name) for name in names})
    options = {} if arguments.part_rows is None else {"part_rows": arguments.part_rows}
    done = score_run(arguments.run_folder, arguments.out, source, **options, verbose=int(sys.stdout.isatty()))
    counts = f"{done['rows']} rows in {done['parts']} parts, {done['written']} of them written now"
    print(f"The scores are in {arguments.out}: {counts}.")


def _experiment(arguments: argparse.Namespace) -> None:
    from keras_smes.experiments import Experiment, run_experiment, write_report

    experiment = Experiment.read(arguments.config)
    out = Path(arguments.out) if arguments.out else Path(arguments.config).with_suffix("")
    figures = not arguments.no_figures
    if arguments.report:
        write_report(experiment, out, figures)
    else:
        run_experiment(experiment, out, arguments.data_dir, tuple(arguments.part), figures)
    print((out / "README.md").read_text(encoding="utf-8"))
    print(f"The results are in {out}.")


def _plan(arguments: argparse.Namespace) -> None:
    from keras_smes.planning import make_plan, read_plan
    from keras_smes.planning.plan import to_text

    plan = make_plan(*read_plan(arguments.config))
    print(json.dumps(plan.to_dict(), indent=2) if arguments.json else to_text(plan))


def _report(arguments: argparse.Namespace) -> None:
    from keras_smes.report import write_report

    print(f"The report is {write_report(arguments.folders, arguments.out)}.")


def _features(arguments: argparse.Namespace) -> None:
    from keras_smes.data import FeatureTables
    from keras_smes.incremental import write_features

    folder = write_features(arguments.run_folder, arguments.as_of, arguments.to, arguments.data_dir)
    tables = FeatureTables.read(folder)
    for table in tables.tables:
        print(f"{table.file}: {table.rows.height} keys of {', '.join(table.columns)}")
    print(f"The features as of {tables.as_of} are in {folder}.")


def _export(arguments: argparse.Namespace) -> int:
    _check_format(arguments)
    if (verdict := _judged(arguments)) is not None:
        print(f"The gate {'passed' if verdict.passed else 'failed'}: {verdict.reason}.")
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
    print(f"Exported to {made.folder}, with {made.config.name} beside it.")
    print(
        f"Verified in {made.proof.runtime}: {made.proof.requests} requests answered as Keras does, within "
        f"{made.proof.difference:.1e}."
    )


def _export_saved_model(arguments: argparse.Namespace) -> None:
    from keras_smes.export import export_folders

    names = ("version", "batch_sizes", "signatures", "runtime", "with_features")
    options = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    options["batching"] = arguments.batch_sizes is not None
    folders = {arguments.to: False, **({f"{arguments.to}-xla": True} if arguments.xla else {})}
    for made in export_folders(arguments.run_folder, folders, **options):
        print(f"Exported to {made.folder}: {', '.join(made.signatures)}.")
        print(
            f"Proved on TensorFlow {made.proof.runtime}: {made.proof.requests} requests answered as Keras "
            f"does, within {made.proof.difference:.1e}; warm-up of {made.warmup_records} requests."
        )


def _judged(arguments: argparse.Namespace) -> Any:
    """The gate's verdict on the run that is to be exported; `None` without a gate."""
    if arguments.gate is None and arguments.at_least is None and arguments.within is None:
        return None
    from keras_smes.incremental import judge_run

    return judge_run(arguments.run_folder, arguments.to, _gate(arguments), arguments.data_dir)


def _predict(arguments: argparse.Namespace) -> None:
    from keras_smes_serving.client import Client, ServingError, rows_to_columns

    rows = _read_rows(arguments.rows)
    try:
        with Client(arguments.address, arguments.timeout) as client:
            which = {"version": arguments.version, "label": arguments.label}
            spec = client.metadata(arguments.model, **which)["serving_default"]
            scores = client.predict(arguments.model, rows_to_columns(rows, spec), **which)
    except ServingError as error:
        raise ValueError(f"no scores from {arguments.address}: {error}") from error
    for row in zip(*(scores[task].tolist() for task in scores), strict=True):
        print(json.dumps(dict(zip(scores, row, strict=True))))


def _read_rows(path: str) -> list[dict[str, Any]]:
    from keras_smes_serving.client.rows_file import read_rows

    return read_rows(path)


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Prints the figures of each task, and how the experts are used."""
    for titles in (OF_LABELS, OF_NUMBERS, OF_REQUESTS):
        tasks = {
            task: figures for task, figures in metrics["tasks"].items() if titles.keys() <= figures.keys()
        }
        if tasks:
            print(f"\n{'task':<16}" + "".join(f"{title:>11}" for title in titles.values()))
        for task, figures in tasks.items():
            print(f"{task:<16}" + "".join(f"{_figure(figures[name]):>11}" for name in titles))
    if routing := metrics["routing"]:
        print(
            f"\nexecuted experts an instance: mean {_figure(routing['union_mean'], 2)}, "
            f"bound {routing['union_bound']}, of {routing['num_experts']} in the pool\n"
            f"expert load: maximum over mean {_figure(routing['load_max_over_mean'], 2)}, "
            f"dead experts {routing['dead_experts']}"
        )
    if unusual := metrics["unusual"]["test"]:
        print(f"\nunusual values of test rows: {_most_frequent(unusual)}")


def _most_frequent(unusual: Mapping[str, Mapping[str, int]], shown: int = 6) -> str:
    counts = [(name, count, kind) for name, own in unusual.items() for kind, count in own.items()]
    counts.sort(key=lambda entry: -entry[1])
    texts = [f"{name} {count} {kind}" for name, count, kind in counts]
    more = len(texts) - shown
    return ", ".join(texts[:shown]) + (f", and {more} more counts in the metrics" if more > 0 else "")


def _figure(value: float | None, digits: int = 4) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if value is None else f"{value:.{digits}f}"
