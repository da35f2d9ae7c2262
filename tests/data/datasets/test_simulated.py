import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from keras_smes.data.datasets.simulated import GROUPS, oracle, simulate
from keras_smes.data.interactions import Interactions

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
    assert data.task_names == tuple(RATES)
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
    assert not [
        name for name in data.schema.names if name.endswith("_probability") or name in data.task_names
    ]
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
    assert data.task_names == ("x", "y", "z")
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
        ({"contexts": (2, 0)}, r"contexts=\[2, 0\]"),
        ({"contexts": (2,)}, r"contexts=\(2,\)"),
        ({"strength": -1.0}, "strength=-1.0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], received: str) -> None:
    with pytest.raises(ValueError, match=received):
        simulate(**options)


def test_more_rows_are_of_the_same_users() -> None:
    few, many = (simulate(rows=rows, users=10, videos=10, seed=5).frame for rows in (500, 5000))
    reading = "user_watching_0"
    assert dict(few.select("user_id", reading).rows()) == dict(many.select("user_id", reading).rows())


@pytest.fixture(scope="module")
def in_contexts() -> Interactions:
    return simulate(
        rows=120_000,
        users=300,
        videos=300,
        groups={"a": {"x": 0.5, "y": 0.5}},
        contexts=(3, 2),
        strength=3.0,
        noise=0.0,
        seed=4,
    )


def test_users_have_a_segment_and_videos_a_category(in_contexts: Interactions) -> None:
    frame = in_contexts.frame
    assert frame["segment"].n_unique() == 3
    assert frame["category"].n_unique() == 2
    assert frame.select("user_id", "segment").n_unique() == frame["user_id"].n_unique()
    assert frame.select("video_id", "category").n_unique() == frame["video_id"].n_unique()
    assert in_contexts.schema["segment"].side == "user"
    assert in_contexts.schema["category"].side == "candidate"
    assert "segment" not in simulate(rows=10).schema.names


def readings(data: Interactions, rows: np.ndarray) -> np.ndarray:
    """The factors of the user and of the video, `[rows, 8]`, as seen without noise."""
    columns = data.columns()
    names = [f"{side}_a_{k}" for side in ("user", "video") for k in range(4)]
    return np.stack([columns[name][rows] for name in names], axis=1)


def test_what_factors_weigh_depends_on_the_context(in_contexts: Interactions) -> None:
    # Within a context the logit is nearly linear in the factors, biases aside: what is fitted in one
    # context explains that context, and not another, which is explained as well by its own.
    frame, truth = in_contexts.frame, oracle(in_contexts)
    planes: dict[tuple[int, int], list[np.ndarray]] = {}
    shares = {}
    for context in ((0, 0), (0, 1), (1, 0)):
        rows = np.flatnonzero((frame["segment"] == context[0]) & (frame["category"] == context[1]))
        inputs = readings(in_contexts, rows)
        logits = [np.log(truth[task][rows] / (1 - truth[task][rows])) for task in ("x", "y")]
        planes[context] = [np.linalg.lstsq(inputs, values, rcond=None)[0] for values in logits]
        for other, fitted in planes.items():
            residual = np.var(logits[0] - inputs @ fitted[0]) / np.var(logits[0])
            shares[context, other] = 1 - residual
    for context, plane in planes.items():
        assert shares[context, context] > 0.6
        assert np.corrcoef(plane[0], plane[1])[0, 1] > 0.7  # tasks of a group want the same of a context
    assert max(share for (one, other), share in shares.items() if one != other) < 0.4


def test_the_oracle_ranks_best(in_contexts: Interactions) -> None:
    truth, labels = oracle(in_contexts), in_contexts.labels()
    best = roc_auc_score(labels["x"], truth["x"])
    shaken = truth["x"] + 0.1 * np.random.default_rng(0).standard_normal(len(in_contexts))
    assert best > 0.85
    assert roc_auc_score(labels["x"], shaken) < best
    with pytest.raises(ValueError, match="must be simulated"):
        oracle(dataclasses.replace(in_contexts, frame=in_contexts.frame.drop("x_probability")))
