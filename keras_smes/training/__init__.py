"""Training: fits a ranker on interactions, measures it on later ones, keeps both in a run's folder."""

from keras_smes.training.config import RunConfig
from keras_smes.training.evaluate import evaluate
from keras_smes.training.fit import fit_ranker
from keras_smes.training.runs import evaluate_run, load_run, train_run

__all__ = ["RunConfig", "evaluate", "evaluate_run", "fit_ranker", "load_run", "train_run"]
