import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_smes import SMES
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
    ranker.get_layer("core").get_layer("tower_like").score.bias.assign([3.0])
    after = ranker(ROWS)
    np.testing.assert_array_equal(after["click"], before["click"])
    assert (after["like"].numpy() > before["like"]).all()


def test_core_on_preprocessed_columns_is_the_ranker():
    ranker = build_ranker(SCHEMA, ["click", "like"], make_smes())
    scores = ranker.get_layer("core")(ranker.get_layer("preprocessor")(ROWS))
    for task, score in ranker(ROWS).items():
        np.testing.assert_array_equal(scores[task], score)


def test_training_the_core_trains_the_ranker_and_adds_the_balance_loss():
    keras.utils.set_random_seed(0)
    ranker = build_ranker(SCHEMA, ["click", "like"], make_smes())
    core, before = ranker.get_layer("core"), ranker(ROWS)["click"].numpy()
    core.compile("adam", loss={"click": "binary_crossentropy", "like": "binary_crossentropy"})
    labels = {"click": np.array([1.0, 0.0, 1.0]), "like": np.array([0.0, 0.0, 1.0])}
    columns = ranker.get_layer("preprocessor")(ROWS)
    history = core.fit(columns, labels, epochs=2, verbose=0).history
    assert history["loss"][0] > history["click_loss"][0] + history["like_loss"][0]
    assert not np.array_equal(ranker(ROWS)["click"], before)


@pytest.mark.parametrize("experts", [make_smes, lambda: MMoE(2, 4, (16, 8))])
def test_a_saved_ranker_gives_the_same_scores(tmp_path, experts):
    ranker = build_ranker(SCHEMA, ["click", "like"], experts(), encoder_units=(6,), tower_units=(5, 3))
    ranker.save(tmp_path / "ranker.keras")
    loaded = keras.models.load_model(tmp_path / "ranker.keras")
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
        (["click", "click"], "named once"),
        (["click", "long view"], "'long view'"),
        (["click", "like", "follow"], "one vector a task, 3"),
    ],
)
def test_refusals(tasks, message):
    with pytest.raises(ValueError, match=message):
        build_ranker(SCHEMA, tasks, make_smes())
