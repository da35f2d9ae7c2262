"""Measures batching parameters of a model under the same load.

    python serving/deploy/sweep.py --model_base_path=$PWD/models/smes --rows=runs/smes/rows.jsonl \
        --candidates=500 --rate=60 --batch-sizes 0 1000 2000 --timeouts 0 1000 --threads 2

starts the embedded server with each choice in turn and sends requests in an open loop (see
`keras_smes_serving.load_test`); 0 is without batching. For TensorFlow Serving, start it by hand with each
choice and run `python -m keras_smes_serving.load_test` against it: the parameters file is the same.
"""

import argparse
import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from keras_smes_serving.client import Client
from keras_smes_serving.client.rows_file import read_rows
from keras_smes_serving.load_test import open_channel, open_loop, poisson_arrivals, request_of, sender
from keras_smes_serving.server.models.versions import version_directories

MODEL = "swept"
PARAMETERS = ("batch size", "timeout us", "threads")
COLUMNS = {
    **{name: lambda result, name=name: result["latency_ms"][name] for name in ("p50", "p90", "p99", "max")},
    "lag p99": lambda result: result["send_lag_ms"]["p99"],
    "answers/s": lambda result: result["answers_per_second"],
    "not OK": lambda result: result["requests"] - result["codes"].get("OK", 0),
}


def main(argv=None):
    arguments = parsed(argv)
    rows = read_rows(arguments.rows)
    results = []
    print_row([*PARAMETERS, *COLUMNS])
    for choice in choices(arguments):
        with server(arguments.model_base_path, *choice) as address:
            result = {**dict(zip(PARAMETERS, choice, strict=True)), **measured(address, rows, arguments)}
        print_row([*choice, *(found(result) for found in COLUMNS.values())])
        results.append(result)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def print_row(cells):
    print(*(f"{cell!s:>10}" for cell in cells), flush=True)


def parsed(argv):
    """Parses and validates the arguments."""
    made = parser()
    arguments = made.parse_args(argv)
    if not version_directories(arguments.model_base_path):
        made.error(f"--model_base_path holds no version: {arguments.model_base_path}")
    small = [size for size in arguments.batch_sizes if 0 < size < arguments.candidates]
    if small:
        made.error(f"--batch-sizes must take a request of {arguments.candidates} rows whole: {small}")
    return arguments


def parser():
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--model_base_path", required=True, metavar="DIR")
    made.add_argument("--rows", required=True, metavar="FILE", help="one JSON object of features a line")
    made.add_argument("--candidates", type=int, default=500, metavar="N", help="rows of a request")
    made.add_argument("--rate", type=float, required=True, metavar="R", help="requests a second")
    made.add_argument("--seconds", type=float, default=10.0, metavar="S", help="for each choice")
    made.add_argument("--warmup", type=float, default=2.0, metavar="S", help="before it counts")
    made.add_argument("--batch-sizes", type=int, nargs="+", default=[0, 1000], help="0: no batching")
    made.add_argument("--timeouts", type=int, nargs="+", default=[0, 1000], help="microseconds")
    made.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count()])
    made.add_argument("--json", metavar="FILE", help="also write the results there")
    return made


def choices(arguments):
    """Every combination; without batching the other parameters mean nothing, and it is tried once."""
    sizes = [size for size in arguments.batch_sizes if size]
    alone = [(0, 0, 0)] if 0 in arguments.batch_sizes else []
    return [*alone, *itertools.product(sizes, arguments.timeouts, arguments.threads)]


@contextlib.contextmanager
def server(base_path, max_batch_size, timeout, threads):
    """Runs the embedded server in a separate process; yields its address."""
    command = [sys.executable, "-m", "keras_smes_serving.server.main", f"--model_name={MODEL}", "--port=0"]
    command += [f"--model_base_path={base_path}", "--grpc_max_threads=64"]
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w+", encoding="utf-8") as log:
        if max_batch_size:
            parameters = Path(folder) / "batching.config"
            parameters.write_text(
                f"max_batch_size {{ value: {max_batch_size} }}\n"
                f"batch_timeout_micros {{ value: {timeout} }}\n"
                f"num_batch_threads {{ value: {threads} }}\n"
                "max_enqueued_batches { value: 100 }\n"
            )
            command += ["--enable_batching", f"--batching_parameters_file={parameters}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield address_of(process, log)
        finally:
            process.terminate()
            process.wait(60)


def address_of(process, log):
    for line in process.stdout:
        if found := re.search(r"gRPC ModelServer at .*:([0-9]+) ", line):
            return f"127.0.0.1:{found[1]}"
    process.wait()
    log.seek(0)
    raise SystemExit(f"the server didn't start, exit code {process.returncode}:\n{log.read()}")


def measured(address, rows, arguments):
    with Client(address) as client, open_channel(address) as channel:
        send = sender(channel, request_of(client, MODEL, rows, arguments.candidates), timeout=30.0)
        open_loop(send, poisson_arrivals(arguments.rate, arguments.warmup, seed=1))
        record = open_loop(send, poisson_arrivals(arguments.rate, arguments.seconds))
    return record.summary(arguments.candidates)


if __name__ == "__main__":
    main()
