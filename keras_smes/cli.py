"""The command line: parses, calls, prints.

Imports stand in the commands: each needs its own extras, and no others.
"""

import argparse
import datetime
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code. A user's mistake is one line on stderr and code 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its advice hides what we print
    if argv[:1] == ["serve"]:  # its flags are those of tensorflow_model_server, not ours
        from keras_smes.serving.server import serve

        return serve(argv[1:])
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except (ValueError, OSError, ImportError) as error:
        print(f"keras-smes {arguments.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "keras-smes", description="Sparse mixture-of-experts for multi-task ranking."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands.add_parser("train", help="train a ranker and evaluate it on later rows"))
    _add_evaluate(commands.add_parser("evaluate", help="evaluate a run on other rows"))
    _add_export(commands.add_parser("export", help="write a run as a version that TF Serving loads"))
    commands.add_parser("serve", help="serve an exported model over gRPC (flags of tensorflow_model_server)")
    _add_predict(commands.add_parser("predict", help="ask a server for scores"))
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", required=True, metavar="NAME", help="kuairand-pure, movielens-100k, simulated, ..."
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where its files lie")
    parser.add_argument("--model", choices=["smes", "mmoe"], help="default: smes")
    parser.add_argument("--out", required=True, metavar="RUN", help="folder to write the run to")
    parser.add_argument(
        "--config", metavar="FILE", help="JSON of RunConfig values; other options override it"
    )
    parser.add_argument("--epochs", type=int, metavar="N")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.set_defaults(run=_train)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN")
    parser.add_argument("--data-dir", metavar="DIR", help="where the data set's files lie")
    parser.add_argument(
        "--from", dest="first", type=_date, metavar="DATE", help="first date, such as 2022-05-05"
    )
    parser.add_argument("--to", dest="last", type=_date, metavar="DATE", help="last date")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    parser.set_defaults(run=_evaluate)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN")
    parser.add_argument("--to", required=True, metavar="MODELS/NAME", help="folder of the model's versions")
    parser.add_argument("--version", type=int, metavar="N", help="default: the next one")
    parser.set_defaults(run=_export)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", required=True, metavar="HOST:PORT")
    parser.add_argument("--model", required=True, metavar="NAME")
    parser.add_argument(
        "--rows", required=True, metavar="FILE", help="one JSON object of features a line; - is stdin"
    )
    parser.set_defaults(run=_predict)


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a date such as 2022-05-05, received {text!r}") from None


def _train(arguments: argparse.Namespace) -> None:
    from keras_smes.training import RunConfig, train_run

    values = _read_config(arguments.config)
    chosen = {name: getattr(arguments, name) for name in ("data", "model", "epochs", "seed")}
    values |= {name: value for name, value in chosen.items() if value is not None}
    metrics = train_run(RunConfig.from_dict(values), arguments.out, arguments.data_dir)
    print_metrics(metrics)
    print(f"\nThe run is in {arguments.out}.")


def _read_config(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"`--config` must be a JSON file. Received: {path}, {error}") from None
    if not isinstance(values, dict):
        raise ValueError(
            f"`--config` must hold a JSON object. Received: {path} with a {type(values).__name__}"
        )
    return values


def _evaluate(arguments: argparse.Namespace) -> None:
    from keras_smes.training import evaluate_run
    from keras_smes.training.runs import write_json

    metrics = evaluate_run(arguments.run_folder, arguments.data_dir, arguments.first, arguments.last)
    print_metrics(metrics)
    if arguments.json:
        write_json(Path(arguments.json), metrics)


def _export(arguments: argparse.Namespace) -> None:
    from keras_smes.export import publish, write_saved_model
    from keras_smes.training import load_run

    ranker, _ = load_run(arguments.run_folder)
    version = publish(lambda folder: write_saved_model(ranker, folder), arguments.to, arguments.version)
    print(f"Exported to {version}.")


def _predict(arguments: argparse.Namespace) -> None:
    from keras_smes.serving.client import Client
    from keras_smes.serving.columns import rows_to_columns
    from keras_smes.serving.errors import ServingError

    rows = _read_rows(arguments.rows)
    try:
        with Client(arguments.address) as client:
            spec = client.metadata(arguments.model)["serving_default"]
            scores = client.predict(arguments.model, rows_to_columns(rows, spec))
    except ServingError as error:
        raise ValueError(f"no scores from {arguments.address}: {error}") from error
    for row in zip(*(scores[task].tolist() for task in scores), strict=True):
        print(json.dumps(dict(zip(scores, row, strict=True))))


def _read_rows(path: str) -> list[dict[str, Any]]:
    text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"`--rows` must hold one JSON object a line. Received: line {number}, {error}"
            ) from None
    return rows


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Prints the figures of each task, and how the experts are used."""
    print(f"\n{'task':<16}{'AUC':>8}{'GAUC':>8}{'log loss':>10}{'positives':>11}{'rows':>9}")
    for task, figures in metrics["tasks"].items():
        auc, gauc, log_loss = (_figure(figures[name]) for name in ("auc", "gauc", "logloss"))
        print(f"{task:<16}{auc:>8}{gauc:>8}{log_loss:>10}{figures['positives']:>11}{figures['rows']:>9}")
    if routing := metrics["routing"]:
        print(
            f"\nexecuted experts an instance: mean {_figure(routing['union_mean'], 2)}, "
            f"bound {routing['union_bound']}, of {routing['num_experts']} in the pool\n"
            f"expert load: maximum over mean {_figure(routing['load_max_over_mean'], 2)}, "
            f"dead experts {routing['dead_experts']}"
        )


def _figure(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
