"""What passes the gate is exported, and nothing else is."""

import functools
import json
import shutil

import pytest
from sklearn.metrics import roc_auc_score

from keras_smes.cli import main
from keras_smes.export import export_run
from keras_smes.incremental import QualityGate, export_if_good
from keras_smes.incremental.quality_gate import metrics_of_newest
from keras_smes.training import MetricOfTask

AUC, LOSS = MetricOfTask("click", "auc"), MetricOfTask("click", "logloss")
RATIO = MetricOfTask("click", "predicted_over_observed")

# The one that `metrics_of_newest` takes.
export_one_signature = functools.partial(export_if_good, signatures=["serving_default"], batch_sizes=(1,))


def figures(**values):
    return {"click": values}


@pytest.mark.parametrize(
    ("gate", "now", "before", "passed"),
    [
        (QualityGate(AUC, at_least=0.7), {"auc": 0.7}, None, True),
        (QualityGate(AUC, at_least=0.7), {"auc": 0.6999}, None, False),
        (QualityGate(LOSS, at_least=0.5), {"logloss": 0.5}, None, True),
        (QualityGate(LOSS, at_least=0.5), {"logloss": 0.51}, None, False),
        (QualityGate(AUC, within=0.25), {"auc": 0.5}, {"auc": 0.75}, True),
        (QualityGate(AUC, within=0.25), {"auc": 0.5}, {"auc": 0.7501}, False),
        (QualityGate(LOSS, within=0.25), {"logloss": 0.75}, {"logloss": 0.5}, True),
        (QualityGate(LOSS, within=0.25), {"logloss": 0.7501}, {"logloss": 0.5}, False),
        (QualityGate(AUC, within=0.0), {"auc": 0.1}, None, True),
        (QualityGate(AUC, at_least=0.7, within=0.1), {"auc": 0.69}, {"auc": 0.5}, False),
        (QualityGate(AUC, at_least=0.5, within=0.1), {"auc": 0.69}, {"auc": 0.9}, False),
        (QualityGate(RATIO, at_least=1.25), {"predicted_over_observed": 0.01}, None, False),
        (QualityGate(RATIO, at_least=1.25), {"predicted_over_observed": 1.26}, None, False),
        (QualityGate(RATIO, at_least=1.25), {"predicted_over_observed": 0.75}, None, True),
        (QualityGate(RATIO, at_least=0.75), {"predicted_over_observed": 1.25}, None, True),
        (
            QualityGate(RATIO, within=0.25),
            {"predicted_over_observed": 0.5},
            {"predicted_over_observed": 1.125},
            False,
        ),
        (
            QualityGate(RATIO, within=0.25),
            {"predicted_over_observed": 0.75},
            {"predicted_over_observed": 1.125},
            True,
        ),
        (QualityGate(AUC, at_least=0.5), {"auc": None}, None, False),
        (QualityGate(AUC, at_least=0.5), {"logloss": 0.1}, None, False),
    ],
)
def test_judgements(gate, now, before, passed):
    verdict = gate.judge(figures(**now), before and figures(**before))
    assert verdict.passed is passed
    assert verdict.reason


def test_a_gate_without_a_bound_is_refused():
    with pytest.raises(ValueError, match="`at_least` or `within`"):
        QualityGate(AUC)


@pytest.mark.tensorflow
def test_the_version_before_is_asked_for_the_same_rows(run, log, day, tmp_path):
    rows, models = log.between(day(4), day(4)), tmp_path / "models"
    assert metrics_of_newest(models, rows) is None
    first = export_one_signature(run, models, QualityGate(AUC, at_least=0.0), rows)
    assert first.folder == models / "1"
    # An older version, of another process and another format, gives what scikit-learn says of its scores.
    import tensorflow as tf

    answer = tf.saved_model.load(str(models / "1")).signatures["serving_default"]
    columns = {name: tf.constant(values) for name, values in rows.columns().items()}
    expected = roc_auc_score(rows.labels()["click"], answer(**columns)["click"])
    assert metrics_of_newest(models, rows)["click"]["auc"] == pytest.approx(expected, abs=1e-6)
    # Whoever repeats a call that was killed exports nothing twice.
    assert export_one_signature(run, models, QualityGate(AUC, at_least=1.0), rows).folder == models / "1"
    worse = tmp_path / "worse"
    shutil.copytree(run, worse)
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["tasks"]["click"]["auc"] = expected - 0.01
    (worse / "metrics.json").write_text(json.dumps(metrics))
    held = export_one_signature(worse, models, QualityGate(AUC, within=0.005), rows)
    assert held.folder is None
    assert "worse by more than 0.0050" in held.verdict.reason
    assert export_one_signature(worse, models, QualityGate(AUC, within=0.02), rows).folder == models / "2"
    assert sorted(path.name for path in models.iterdir()) == ["1", "2"]


@pytest.mark.tensorflow
def test_the_command_says_which_and_exits_so(run, tmp_path, capsys):
    models = tmp_path / "models"
    options = ["export", str(run), "--to", str(models), "--gate", "click", "auc"]
    assert main([*options, "--at-least", "1.0"]) == 3
    assert "The gate failed: click auc 0." in capsys.readouterr().out
    assert not models.exists()
    assert main([*options, "--at-least", "0.1", "--signatures", "serving_default"]) == 0
    assert "The gate passed: click auc" in capsys.readouterr().out
    assert (models / "1").is_dir()
    assert main(["export", str(run), "--to", str(models), "--within", "0.1"]) == 2
    assert "go with `--gate`" in capsys.readouterr().err
    options[-1] = "positives"
    assert main([*options, "--at-least", "1"]) == 2
    assert "metric='positives'" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        export_run(tmp_path / "nowhere", models)
