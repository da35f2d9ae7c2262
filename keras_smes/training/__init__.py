"""Training: fits a ranker on interactions, measures it on later ones, keeps both in a run's folder.

`train_run` is the whole way and `fit_ranker` its middle. Its parts stand alone: `config` says what a run
is; `input` which rows come when, from memory or disk, and who makes batches of them; `model` is what Keras'
`fit` trains, with `task_losses`; `loop` takes it through its epochs, selects the best, writes what a killed
training resumes from, and says what was not finite.
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
from keras_smes.training.loop.resume import Session
from keras_smes.training.loop.selection import EarlyStopping, MetricOfTask
from keras_smes.training.rows_to_score import ScoreSource
from keras_smes.training.run_folder import load_run
from keras_smes.training.runs import RunOptions, evaluate_run, train_run
from keras_smes.training.scoring import score_run

__all__ = [
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
