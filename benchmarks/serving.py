"""Serving: what the client and the embedded server cost beside the model itself.

    python benchmarks/serving.py --json benchmarks/results/serving.json

The server is a process of its own, on the same cores as the client that sends requests: its share of them
is part of what is measured. `in process` is the same C++ session, asked without a server and by turns
with it, so that both see the same noise. `echo` is a server that doesn't look at its requests (see
`echo.py`): what of the difference is gRPC's and the machine's.
"""

import argparse
import contextlib
import functools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from support.harness import machine, print_table, summary, time_together

from keras_smes import SMES, FeatureSchema, IntegerCategory, Number, build_ranker
from keras_smes.export import write_saved_model
from keras_smes_serving.client import Client
from keras_smes_serving.load_test import closed_loop, open_channel, open_loop, poisson_arrivals, sender
from keras_smes_serving.protocol import messages
from keras_smes_serving.protocol.tensors import decode, encode_fields
from keras_smes_serving.server.runtime.servable import Servable
from keras_smes_serving.server.runtime.session import Session

CANDIDATES, IDS, NUMBERS = 500, 21, 21
MODEL = "ranker"


SIZES = {  # experts, and the units of each
    "small": (8, (32, 16)),
    "large": (64, (512, 256)),
}
BATCHING = """max_batch_size { value: 2000 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""
SERVERS = {"plain": [], "batching": ["--enable_batching"]}
ROUNDS = 5
BUILT = ", request built"  # the server and the transport, without what the client makes of its columns


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="where to write the figures")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load and round")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    arguments = parser.parse_args()
    figures = {"machine": machine(), "candidates": CANDIDATES, "features": IDS + NUMBERS, "sizes": {}}
    for size in arguments.sizes:
        figures["sizes"][size] = measured(*SIZES[size], arguments.seconds)
    report(figures)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measured(num_experts, units, seconds):
    """One size of model: the session in this process, and servers of it in others, all by turns."""
    columns = example_columns(CANDIDATES)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        export_ranker(Path(folder) / "1", num_experts, units)
        servable = Servable(Session(Path(folder) / "1"))
        calls = {"in process": lambda: servable.predict("", columns)}
        sends, figures = {}, {}
        for name, flags in SERVERS.items():
            address = opened.enter_context(server(folder, flags))
            client = opened.enter_context(Client(address))
            calls[name] = functools.partial(client.predict, MODEL, columns)
            channel, request = opened.enter_context(open_channel(address)), client.build(MODEL, columns)
            calls[f"{name}{BUILT}"] = sending(channel, request)
            sends[name] = sender(channel, request, 30.0)
        command = [sys.executable, Path(__file__).with_name("echo.py"), Path(folder) / "1"]
        channel = opened.enter_context(open_channel(opened.enter_context(running(command))))
        calls["echo"] = sending(channel, request)
        figures["client"] = client_costs(client, columns)
        figures["alone"] = alone_in_turn(calls, seconds)
        figures["rows_per_second"] = saturated_together(calls["in process"], sends, seconds)
        figures["half"] = at_half(sends, figures["rows_per_second"], seconds)
    return figures


def sending(channel, request):
    """Sends one and the same request and waits for the answer, in bytes."""
    return functools.partial(channel.unary_unary(messages.PREDICT), request, timeout=30.0)


def export_ranker(folder, num_experts, units, xla=False):
    """Writes a ranker of 42 features and 6 tasks."""
    features = [IntegerCategory(f"id_{index}", dim=8) for index in range(IDS)]
    features += [Number(f"number_{index}") for index in range(NUMBERS)]
    schema = FeatureSchema(tuple(features)).fit(example_columns(5000))
    smes = SMES(6, num_experts, num_shared=2, num_private=1, expert_units=units)
    tasks = [f"task_{index}" for index in range(6)]
    ranker = build_ranker(schema, tasks=tasks, experts=smes)
    write_saved_model(ranker, folder, signatures=["serving_default"], xla=xla)


def example_columns(rows):
    generator = np.random.default_rng(0)
    columns = {f"id_{index}": generator.integers(0, 1000, rows) for index in range(IDS)}
    numbers = {f"number_{index}": generator.normal(size=rows).astype("float32") for index in range(NUMBERS)}
    return {**columns, **numbers}


def alone_in_turn(calls, seconds):
    """One request after another, as one client sends them: short loops by turns."""
    times = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            times[name] += time_together({name: call}, repeats=int(10 * seconds))[name]
    return {name: summary(milliseconds) for name, milliseconds in times.items()}


def saturated_together(call, sends, seconds):
    """Rows a second with four and with sixteen requests under way: the better, medians of rounds."""
    loads = {"in process": lambda count: saturated(call, count, seconds / 4)}
    for name, send in sends.items():
        loads[name] = lambda count, send=send: answers_per_second(closed_loop(send, count, seconds / 4))
    rates = {name: {count: [] for count in (4, 16)} for name in loads}
    for _ in range(ROUNDS):
        for name, load in loads.items():
            for count, found in rates[name].items():
                found.append(CANDIDATES * load(count))
    return {name: max(map(statistics.median, found.values())) for name, found in rates.items()}


def answers_per_second(record):
    return record.summary()["answers_per_second"]


def saturated(function, threads, seconds):
    """Calls a second of several threads."""
    done, start = [], time.perf_counter()

    def work():
        while time.perf_counter() < start + seconds:
            function()
            done.append(1)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(done) / (time.perf_counter() - start)


def at_half(sends, rows_per_second, seconds):
    """Open loops at half of what each server can do, by turns: medians of the rounds' percentiles."""
    found = {name: [] for name in sends}
    for number in range(ROUNDS):
        for name, send in sends.items():
            due = poisson_arrivals(rows_per_second[name] / CANDIDATES / 2, seconds, seed=number)
            found[name].append(open_loop(send, due).summary()["latency_ms"])
    return {
        name: {key: statistics.median(round_[key] for round_ in rounds) for key in ("p50", "p90", "p99")}
        for name, rounds in found.items()
    }


def server(folder, flags):
    """Runs the embedded server."""
    parameters = Path(folder) / "batching.config"
    parameters.write_text(BATCHING)
    if "--enable_batching" in flags:
        flags = [*flags, f"--batching_parameters_file={parameters}"]
    command = [sys.executable, "-m", "keras_smes_serving.server.main", f"--model_name={MODEL}", "--port=0"]
    return running([*command, f"--model_base_path={folder}", "--grpc_max_threads=64", *flags])


@contextlib.contextmanager
def running(command):
    """Runs a server in a process of its own; gives its address."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        line = next(line for line in process.stdout if "gRPC" in line)
        yield f"127.0.0.1:{re.search(r':([0-9]+) ', line)[1]}"
    finally:
        process.terminate()
        process.wait(30)


def client_costs(client, columns):
    """What a request costs the client: the time of `build`, and of reading an answer."""
    response = messages.PredictResponse()
    for index in range(6):
        encode_fields(np.zeros(CANDIDATES, "float32"), response.outputs[f"task_{index}"])
    data = response.SerializeToString()

    def read():
        outputs = messages.PredictResponse.FromString(data).outputs
        return {name: decode(outputs[name]) for name in outputs}

    costs = {"build": lambda: client.build(MODEL, columns), "read": read}
    figures = {name: summary(times) for name, times in time_together(costs, repeats=500).items()}
    return {"request_bytes": len(client.build(MODEL, columns)), **figures}


def report(figures):
    rows = []
    for size, found in figures["sizes"].items():
        rows += [row(size, name, found) for name in ("in process", "echo", *SERVERS)]
    print_table(rows, list(rows[-1]))
    costs = found["client"]
    print(
        f"\nrequest of {costs['request_bytes']} bytes: built in {costs['build']['median_ms']:.3f} ms, "
        f"answer read in {costs['read']['median_ms']:.3f} ms"
    )


def row(size, name, found):
    alone, rates = found["alone"], found["rows_per_second"]
    half, rate = found["half"].get(name, {}), rates.get(name)
    session = alone["in process"]["median_ms"]
    return {
        "model": size,
        "asked": f"server, {name}" if name in SERVERS else name,
        "p50 ms": alone[name]["median_ms"],
        "more ms": alone[name]["median_ms"] - session,
        "request built": alone[name + BUILT]["median_ms"] - session if half else None,
        "rows/s": rate,
        "of the session's": rate / rates["in process"] if rate else None,
        "p50 at half": half.get("p50"),
        "p99 at half": half.get("p99"),
        "p99/p50": half["p99"] / half["p50"] if half else None,
    }


if __name__ == "__main__":
    main()
