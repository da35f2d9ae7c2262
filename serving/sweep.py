"""Which batching parameters suit a model: the same load, once for each of them.

    python serving/sweep.py --model_base_path=$PWD/models/smes --rows=runs/smes/rows.jsonl \
        --candidates=500 --rate=60 --batch-sizes 0 1000 2000 --timeouts 0 1000 --threads 2

starts the embedded server with each choice in turn and asks it in an open loop (see
`keras_smes.serving.load`); 0 is without batching. For TensorFlow Serving, start it by hand with each
choice and run `python -m keras_smes.serving.load` against it: the parameters file is the same.
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

from keras_smes.serving.client import Client
from keras_smes.serving.load import open_channel, open_loop, poisson_arrivals, request_of, sender

MODEL = "swept"


def main():
    arguments = parser().parse_args()
    rows = [json.loads(line) for line in Path(arguments.rows).read_text(encoding="utf-8").splitlines()]
    results = []
    print(f"{'max_batch_size':>14} {'timeout us':>10} {'threads':>7}", *(f"{name:>9}" for name in COLUMNS))
    for choice in choices(arguments):
        with server(arguments.model_base_path, *choice) as address:
            result = measured(address, rows, arguments)
        results.append({**dict(zip(("max_batch_size", "timeout", "threads"), choice, strict=True)), **result})
        figures = (result["latency_ms"].get(name, result.get(name)) for name in COLUMNS)
        print(f"{choice[0]:>14} {choice[1]:>10} {choice[2]:>7}", *(f"{figure!s:>9}" for figure in figures))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


COLUMNS = ("p50", "p90", "p99", "max", "answers_per_second", "refused")


def parser():
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--model_base_path", required=True, metavar="DIR")
    made.add_argument("--rows", required=True, metavar="FILE", help="one JSON object of features a line")
    made.add_argument("--candidates", type=int, default=500, metavar="N", help="rows of a request")
    made.add_argument("--rate", type=float, required=True, metavar="R", help="requests a second")
    made.add_argument("--seconds", type=float, default=10.0, metavar="S", help="for each choice")
    made.add_argument("--batch-sizes", type=int, nargs="+", default=[0, 1000], help="0: no batching")
    made.add_argument("--timeouts", type=int, nargs="+", default=[0, 1000], help="microseconds")
    made.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count()])
    made.add_argument("--json", metavar="FILE", help="where to write the figures")
    return made


def choices(arguments):
    """Every combination; without batching the other parameters mean nothing, and it is tried once."""
    sizes = [size for size in arguments.batch_sizes if size]
    alone = [(0, 0, 0)] if 0 in arguments.batch_sizes else []
    return [*alone, *itertools.product(sizes, arguments.timeouts, arguments.threads)]


@contextlib.contextmanager
def server(base_path, max_batch_size, timeout, threads):
    """Runs the embedded server in a process of its own; gives its address."""
    command = [sys.executable, "-m", "keras_smes.serving.server", f"--model_name={MODEL}", "--port=0"]
    command += [f"--model_base_path={base_path}", "--grpc_max_threads=64"]
    with tempfile.TemporaryDirectory() as folder:
        if max_batch_size:
            parameters = Path(folder) / "batching.config"
            parameters.write_text(
                f"max_batch_size {{ value: {max_batch_size} }}\n"
                f"batch_timeout_micros {{ value: {timeout} }}\n"
                f"num_batch_threads {{ value: {threads} }}\n"
                "max_enqueued_batches { value: 100 }\n"
            )
            command += ["--enable_batching", f"--batching_parameters_file={parameters}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            yield address_of(process)
        finally:
            process.terminate()
            process.wait(60)


def address_of(process):
    for line in process.stdout:
        if found := re.search(r"gRPC ModelServer at .*:([0-9]+) ", line):
            return f"127.0.0.1:{found[1]}"
    raise SystemExit(f"the server didn't start: exit code {process.wait()}")


def measured(address, rows, arguments):
    with Client(address) as client, open_channel(address) as channel:
        send = sender(channel, request_of(client, MODEL, rows, arguments.candidates), timeout=30.0)
        open_loop(send, poisson_arrivals(arguments.rate, 2.0, seed=1))
        result = open_loop(send, poisson_arrivals(arguments.rate, arguments.seconds)).summary()
    return {**result, "refused": result["requests"] - result["codes"].get("OK", 0)}


if __name__ == "__main__":
    main()
