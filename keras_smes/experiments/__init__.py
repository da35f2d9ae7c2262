"""Experiments: models x seeds on one split, as a table of means, spreads and paired differences.

An `Experiment` is read from a YAML file; `run_experiment` does its runs, one line of `runs.jsonl` each, and
resumes where it stopped; `summarize` aggregates them for `results.json`, `README.md` and the plots.
`intervals` holds the statistics.
"""

from keras_smes.experiments.config import Experiment, Planned
from keras_smes.experiments.intervals import Difference, paired_difference
from keras_smes.experiments.run import run_experiment, write_report
from keras_smes.experiments.summary import summarize
from keras_smes.experiments.table import to_markdown

__all__ = [
    "Difference",
    "Experiment",
    "Planned",
    "paired_difference",
    "run_experiment",
    "summarize",
    "to_markdown",
    "write_report",
]
