"""Training that never ends: a run goes on from the one before, grown by what is new.

`continue_run` trains one run from another, `validate_progressively` a run a day, `export_if_good` publishes
what passes a `QualityGate`, `write_features` what is known of each key as of a day. `WarmStart` is a finished
run to go on from: `vocabularies`, `experts` and `tasks` say how each grows, `grow_smes` which weights of the
layer of experts that concerns, and `grow_arrays` moves values.
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
