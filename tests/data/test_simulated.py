import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from keras_smes.data.interactions import Interactions
from keras_smes.data.simulated import GROUPS, simulate

RATES = {task: rate for rates in GROUPS.values() for task, rate in rates.items()}


@pytest.fixture(scope="module")
def data() -> Interactions:
    return simulate(rows=60_000, users=500, videos=800, seed=3)


def test_the_same_seed_gives_the_same_frame() -> None:
    one, same, other = (simulate(rows=500, users=20, videos=30, seed=seed).frame for seed in (1, 1, 2))
    assert one.equals(same)
    assert not one.equals(other)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_has_the_rows_asked_for(rows: int) -> None:
    assert len(simulate(rows=rows, users=3, videos=3)) == rows


def test_labels_come_up_as_often_as_their_probabilities_say(data: Interactions) -> None:
    for task, labels in data.labels().items():
        truth = data.frame[f"{task}_probability"].to_numpy()
        for tenth in np.array_split(np.argsort(truth), 10):
            deviation = np.sqrt((truth[tenth] * (1 - truth[tenth])).sum())
            assert abs(labels[tenth].sum() - truth[tenth].sum()) < 4.5 * deviation


def test_mean_probabilities_are_the_rates_asked_for(data: Interactions) -> None:
    assert data.tasks == tuple(RATES)
    for task, rate in RATES.items():
        assert data.frame[f"{task}_probability"].mean() == pytest.approx(rate, rel=1e-3)


def test_tasks_of_a_group_are_alike_and_groups_are_not(data: Interactions) -> None:
    truth = data.frame.select(f"{task}_probability" for task in RATES).to_numpy()
    logits = np.log(truth / (1 - truth))
    correlations = np.corrcoef(logits, rowvar=False)
    assert correlations[:3, :3].min() > 0.5
    assert correlations[3:, 3:].min() > 0.5
    assert np.abs(correlations[:3, 3:]).max() < 0.2


def test_the_truth_is_no_feature_and_ranks_well(data: Interactions) -> None:
    assert not [name for name in data.schema.names if name.endswith("_probability") or name in data.tasks]
    for task, labels in data.labels().items():
        assert roc_auc_score(labels, data.frame[f"{task}_probability"].to_numpy()) > 0.7


def test_readings_belong_to_users_and_videos_and_tell_of_the_truth(data: Interactions) -> None:
    frame = data.frame
    for side in ("user", "video"):
        names = [
            name for name in data.schema.names if name.startswith((f"{side}_watching", f"{side}_sharing"))
        ]
        assert len(names) == 8
        assert frame.select(f"{side}_id", *names).n_unique() == frame[f"{side}_id"].n_unique()
    columns = data.columns()
    affinity = sum(columns[f"user_watching_{k}"] * columns[f"video_watching_{k}"] for k in range(4))
    assert roc_auc_score(data.labels()["click"], affinity) > 0.6
    assert roc_auc_score(data.labels()["follow"], affinity) == pytest.approx(0.5, abs=0.06)


def test_rows_come_in_sessions_in_order_of_time(data: Interactions) -> None:
    frame = data.frame
    assert frame["time_ms"].is_sorted()
    by_user = frame.sort("user_id", "time_ms", maintain_order=True)
    gap = np.diff(by_user["time_ms"].to_numpy())[np.diff(by_user["user_id"].to_numpy()) == 0]
    assert np.median(gap) < 60_000  # the next row of a user mostly belongs to the same session
    assert frame["date"].n_unique() in (14, 15)  # a session may run past midnight of the last day


def test_groups_can_be_given() -> None:
    data = simulate(
        rows=2000, users=50, videos=50, groups={"a": {"x": 0.5}, "b": {"y": 0.1, "z": 0.9}}, factors=2
    )
    assert data.tasks == ("x", "y", "z")
    assert "video_b_1" in data.schema.names
    assert data.labels()["z"].mean() > 0.8


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"rows": 0}, "rows=0"),
        ({"users": -1}, "users=-1"),
        ({"factors": 0}, "factors=0"),
        ({"noise": -0.1}, "noise=-0.1"),
        ({"groups": {}}, r"tasks=\[\]"),
        ({"groups": {"a": {"x": 0.0}}}, "x=0.0"),
        ({"groups": {"a": {"x": 0.1}, "b": {"x": 0.1}}}, "'x', 'x'"),
        ({"groups": {"a b": {"x": 0.1}}}, "'a b'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], received: str) -> None:
    with pytest.raises(ValueError, match=received):
        simulate(**options)


def test_more_rows_are_of_the_same_users() -> None:
    few, many = (simulate(rows=rows, users=10, videos=10, seed=5).frame for rows in (500, 5000))
    reading = "user_watching_0"
    assert dict(few.select("user_id", reading).rows()) == dict(many.select("user_id", reading).rows())
