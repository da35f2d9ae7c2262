"""Serving as capacity grows: a ranker with SMES against one with a dense MMoE of as many parameters.

    python benchmarks/serving_capacity.py --json benchmarks/results/serving_capacity.json

Both have E experts of 512-256 and answer 500 candidates by `serving_default` and by `rank`, by turns in one
process, in the C++ session that the embedded server runs; `serving.py` has what a server adds. Quote the
ratio.
"""

import argparse
import functools
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from support.harness import machine, print_table, summary, time_together

from keras_smes import FeatureSchema, IntegerCategory, Number, build_ranker
from keras_smes.baselines import build_experts
from keras_smes.export import write_saved_model
from keras_smes_serving.server.runtime.servable import Servable
from keras_smes_serving.server.runtime.session import Session

CANDIDATES, IDS, NUMBERS, TASKS = 500, 21, 21, 6
OF_USER = 10  # ids, which `rank` takes once
PICKS = {"num_shared": 2, "num_private": 1}
SIGNATURES = ("serving_default", "rank")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experts", nargs="+", type=int, default=[64, 256, 2048])
    parser.add_argument("--units", nargs="+", type=int, default=[512, 256])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each row")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    started = time.perf_counter()
    figures = {"machine": machine(), "candidates": CANDIDATES, "units": arguments.units, "rows": []}
    for experts in arguments.experts:
        figures["rows"] += measure(experts, arguments.units, arguments.seconds)
        print(f"E {experts}: done after {time.perf_counter() - started:.0f} s", flush=True)
        if arguments.json:  # after each size, so that a run that is cut short keeps what it has
            arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print_table(figures["rows"], list(figures["rows"][0]))


def measure(experts, units, seconds):
    """The rows of one size: both signatures."""
    with tempfile.TemporaryDirectory() as folder:
        models = {"smes": {"num_experts": experts, **PICKS}, "mmoe": {"num_experts": experts}}
        weights = {
            model: export_ranker(Path(folder) / model, model, {**options, "expert_units": units})
            for model, options in models.items()
        }
        servables = {model: Servable(Session(Path(folder) / model)) for model in models}
    rows = []
    for signature in SIGNATURES:
        columns = example_columns(CANDIDATES, of_user=1 if signature == "rank" else CANDIDATES)
        calls = {
            model: functools.partial(servable.predict, signature, columns)
            for model, servable in servables.items()
        }
        found = {model: summary(times) for model, times in time_for(calls, seconds).items()}
        smes, mmoe = (found[model]["median_ms"] for model in ("smes", "mmoe"))
        row = {"experts": experts, "signature": signature, "smes ms": smes, "mmoe ms": mmoe}
        row |= {"mmoe / smes": mmoe / smes, "smes p90 ms": found["smes"]["p90_ms"]}
        rows.append(row | {f"{model} parameters": count for model, count in weights.items()})
    for servable in servables.values():
        servable.close()
    return rows


def time_for(calls, seconds):
    """Times by turns for about so long, but at least five rounds."""
    started = time.perf_counter()
    for call in calls.values():
        call()
    round_seconds = time.perf_counter() - started
    return time_together(calls, repeats=int(np.clip(seconds / round_seconds, 5, 200)))


def export_ranker(folder, model, options):
    """Writes a ranker of 42 features and 6 tasks; returns how many parameters its experts and gates have."""
    features = [
        IntegerCategory(f"id_{n}", dim=8, side="user" if n < OF_USER else "candidate") for n in range(IDS)
    ]
    features += [Number(f"number_{n}") for n in range(NUMBERS)]
    schema = FeatureSchema(tuple(features)).fit(example_columns(5000, 5000))
    experts = build_experts(model, TASKS, options)
    ranker = build_ranker(schema, tasks=[f"task_{n}" for n in range(TASKS)], experts=experts)
    write_saved_model(ranker, folder, schema, signatures=SIGNATURES)
    return sum(int(np.prod(weight.shape)) for weight in experts.trainable_weights)


def example_columns(rows, of_user):
    generator = np.random.default_rng(0)
    columns = {f"id_{n}": generator.integers(0, 1000, of_user if n < OF_USER else rows) for n in range(IDS)}
    numbers = {f"number_{n}": generator.normal(size=rows).astype("float32") for n in range(NUMBERS)}
    return {**columns, **numbers}


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
