"""Incremental training: a run continues from the previous one, with grown vocabularies, experts and tasks.

`continue_run` trains one run from another, `validate_progressively` one run per day. `export_if_good`
publishes runs that pass a `QualityGate`, and `write_features` writes each key's features as of a day.
`WarmStart` is a finished run to continue from; `vocabularies`, `experts` and `tasks` define how each grows.
"""

from keras_smes.incremental.export import Gated, export_if_good, judge_run
from keras_smes.incremental.features import write_features
from keras_smes.incremental.progressive import Days, Export, validate_progressively
from keras_smes.incremental.quality_gate import QualityGate, Verdict
from keras_smes.incremental.run import continue_run
from keras_smes.incremental.warm_start import WarmStart

__all__ = [
    "Days",
    "Export",
    "Gated",
    "QualityGate",
    "Verdict",
    "WarmStart",
    "continue_run",
    "export_if_good",
    "judge_run",
    "validate_progressively",
    "write_features",
]
