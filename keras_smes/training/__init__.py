"""Training: fits a ranker on interactions, evaluates it on later ones, and writes both to a run folder.

`train_run` does all of it; `fit_ranker` only trains. `config` defines a run, `input` prepares rows and
batches, `model` with `task_losses` is what Keras trains, and `loop` runs epochs, validation, selection and
checkpoints.
"""

from keras_smes.data import SplitConfig
from keras_smes.training.config import (
    EncoderConfig,
    OptimizerConfig,
    RunConfig,
    TrainingConfig,
    ValidationConfig,
)
from keras_smes.training.evaluate import evaluate
from keras_smes.training.fit import Fitted, fit_ranker
from keras_smes.training.loop.non_finite import NonFiniteError
from keras_smes.training.loop.resume import Checkpointer, Session
from keras_smes.training.loop.selection import EarlyStopping, MetricOfTask
from keras_smes.training.rows_to_score import ScoreSource
from keras_smes.training.run_folder import load_run
from keras_smes.training.runs import RunOptions, evaluate_run, train_run
from keras_smes.training.scoring import score_run

__all__ = [
    "Checkpointer",
    "EarlyStopping",
    "EncoderConfig",
    "Fitted",
    "MetricOfTask",
    "NonFiniteError",
    "OptimizerConfig",
    "RunConfig",
    "RunOptions",
    "ScoreSource",
    "Session",
    "SplitConfig",
    "TrainingConfig",
    "ValidationConfig",
    "evaluate",
    "evaluate_run",
    "fit_ranker",
    "load_run",
    "score_run",
    "train_run",
]
