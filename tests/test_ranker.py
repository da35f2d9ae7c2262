import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_smes import SMES, BinaryTask, OrdinalTask, RegressionTask, ScoreFusion
from keras_smes.baselines import MMoE
from keras_smes.features.schema import FeatureSchema, IntegerCategory, Number
from keras_smes.ranker import build_ranker

pytestmark = pytest.mark.tensorflow

SCHEMA = FeatureSchema(
    (IntegerCategory("user_id", dim=4, vocabulary=(7, 9)), Number("age", mean=30.0, std=9.0))
)
ROWS = {"user_id": tf.constant([7, 8, 9], tf.int64), "age": tf.constant([25.0, 31.0, np.nan])}


def make_smes(num_tasks=2):
    return SMES(num_tasks, 8, 2, 1, (16, 8), name="experts")


def test_scores_are_named_probabilities_in_float32():
    scores = build_ranker(SCHEMA, ["click", "like"], make_smes())(ROWS)
    assert list(scores) == ["click", "like"]
    for score in scores.values():
        assert score.shape == (3,)
        assert score.dtype == tf.float32
        assert ((score.numpy() > 0) & (score.numpy() < 1)).all()


def test_each_task_reads_its_own_output_of_the_experts():
    ranker = build_ranker(SCHEMA, ["click", "like"], make_smes())
    before = {task: score.numpy() for task, score in ranker(ROWS).items()}
    ranker.get_layer("core").get_layer("tower_like").logits.bias.assign([3.0])
    after = ranker(ROWS)
    np.testing.assert_array_equal(after["click"], before["click"])
    assert (after["like"].numpy() > before["like"]).all()


def test_core_gives_the_logits_of_the_scores():
    ranker = build_ranker(SCHEMA, ["click", "like"], make_smes())
    logits = ranker.get_layer("core")(ranker.get_layer("preprocessor")(ROWS))
    assert list(logits) == ["click", "like"]
    for task, score in ranker(ROWS).items():
        assert logits[task].dtype == tf.float32
        np.testing.assert_allclose(1 / (1 + np.exp(-logits[task].numpy())), score, rtol=1e-6)


def test_each_task_has_its_tower_and_its_score():
    tasks = [
        BinaryTask("click", units=(4, 3)),
        RegressionTask("watch", mean=2.0, std=0.5, units=()),
        OrdinalTask("stars", thresholds=(2, 3, 4, 5), values=(1, 2, 3, 4, 5)),
    ]
    ranker = build_ranker(SCHEMA, tasks, make_smes(3), tower_units=(7,))
    core = ranker.get_layer("core")
    widths = [[layer.units for layer in core.get_layer(f"tower_{t.name}").hidden] for t in tasks]
    assert widths == [[4, 3], [], [7]]
    logits = core(ranker.get_layer("preprocessor")(ROWS))
    assert [tuple(logits[task.name].shape) for task in tasks] == [(3,), (3,), (3, 4)]
    scores = ranker(ROWS)
    expected = np.expm1(2 + 0.5 * logits["watch"].numpy())
    np.testing.assert_allclose(scores["watch"], expected, rtol=1e-5)
    assert ((scores["stars"].numpy() > 1) & (scores["stars"].numpy() < 5)).all()


def test_a_fused_score_beside_the_tasks():
    fusion = ScoreFusion({"click": 1.0, "like": 10.0}, offsets=1.0)
    ranker = build_ranker(SCHEMA, ["click", "like"], make_smes(), fusion=fusion)
    scores = {name: score.numpy() for name, score in ranker(ROWS).items()}
    assert list(scores) == ["click", "like", "fused"]
    np.testing.assert_allclose(scores["fused"], (1 + scores["click"]) * (1 + 10 * scores["like"]), rtol=1e-5)
    assert list(ranker.get_layer("core").output) == ["click", "like"]


def test_crosses_stand_between_features_and_encoder():
    pytest.importorskip("keras_rs", reason='needs the extra "ranking"')
    ranker = build_ranker(SCHEMA, ["click", "like"], make_smes(), crosses=2, cross_dim=3)
    crosses = ranker.get_layer("core").get_layer("crosses")
    assert crosses.output.shape == crosses.input.shape
    assert np.isfinite(ranker(ROWS)["click"]).all()


def test_batch_norm_normalises_h_alone_and_is_saved(tmp_path):
    ranker = build_ranker(SCHEMA, ["click", "like"], make_smes(), encoder_units=(6,), batch_norm=True)
    core = ranker.get_layer("core")
    norm = core.get_layer("batch_norm")
    assert norm.input is core.get_layer("encoder_0").output
    assert core.get_layer("experts").input is norm.output
    norm.moving_mean.assign([0.1] * 6)
    ranker.save(tmp_path / "ranker.keras")
    loaded = keras.models.load_model(tmp_path / "ranker.keras")
    for task, score in ranker(ROWS).items():
        np.testing.assert_array_equal(loaded(ROWS)[task], score)


def test_training_the_core_trains_the_ranker_and_adds_the_balance_loss():
    keras.utils.set_random_seed(0)
    ranker = build_ranker(SCHEMA, ["click", "like"], make_smes())
    core, before = ranker.get_layer("core"), ranker(ROWS)["click"].numpy()
    core.compile("adam", loss={task.name: task.loss() for task in ranker.get_layer("scores").tasks})
    labels = {"click": np.array([1.0, 0.0, 1.0]), "like": np.array([0.0, 0.0, 1.0])}
    columns = ranker.get_layer("preprocessor")(ROWS)
    history = core.fit(columns, labels, epochs=2, verbose=0).history
    assert history["loss"][0] > history["click_loss"][0] + history["like_loss"][0]
    assert not np.array_equal(ranker(ROWS)["click"], before)


@pytest.mark.parametrize("experts", [make_smes, lambda: MMoE(2, 4, (16, 8))])
def test_a_saved_ranker_gives_the_same_scores_and_knows_its_tasks(tmp_path, experts):
    tasks = [OrdinalTask("stars", thresholds=(2, 4)), RegressionTask("watch", condition="click", mean=2.0)]
    fusion = ScoreFusion({"stars": 1.0, "watch": 0.5}, method="sum")
    ranker = build_ranker(SCHEMA, tasks, experts(), encoder_units=(6,), tower_units=(5, 3), fusion=fusion)
    ranker.save(tmp_path / "ranker.keras")
    loaded = keras.models.load_model(tmp_path / "ranker.keras")
    assert loaded.get_layer("scores").tasks == tuple(tasks)
    assert list(ranker(ROWS)) == ["stars", "watch", "fused"]
    for task, score in ranker(ROWS).items():
        np.testing.assert_array_equal(loaded(ROWS)[task], score)


def test_the_core_compiles_with_xla():
    ranker = build_ranker(SCHEMA, ["click", "like"], make_smes())
    core = ranker.get_layer("core")
    columns = ranker.get_layer("preprocessor")(ROWS)
    compiled = tf.function(lambda rows: core(rows), jit_compile=True)(columns)
    for task, score in core(columns).items():
        np.testing.assert_allclose(compiled[task], score, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["click", "click"], "unique names"),
        ([], "non-empty"),
        (["click", "fused"], "`name` must not be one of.*name='fused'"),
        (["click", "order"], "`name` must not be one of.*name='order'"),
        (["click", "long view"], "'long view'"),
        (["click", "like", "follow"], "one vector per task, 3"),
    ],
)
def test_refusals(tasks, message):
    with pytest.raises(ValueError, match=message):
        build_ranker(SCHEMA, tasks, make_smes())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("tower_click", {}, r"`tasks` must not have the name of a feature.*\['tower_click'\]"),
        ("experts", {}, r"`experts` must not have the name of a feature.*\['experts'\]"),
        (
            "mix",
            {"fusion": ScoreFusion({"click": 1.0}, name="mix")},
            r"`fusion` must not have the name of a feature.*\['mix'\]",
        ),
    ],
)
def test_layers_named_as_features_are_refused(name, arguments, message):
    schema = FeatureSchema((IntegerCategory(name, dim=4, vocabulary=(7, 9)),))
    with pytest.raises(ValueError, match=message):
        build_ranker(schema, ["click", "like"], make_smes(), **arguments)
