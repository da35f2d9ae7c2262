"""KuaiRand (Gao et al., CIKM 2022): impressions of the Kuaishou app, in its official file layout.

Get it from kuairand.com; it is licensed CC BY-SA 4.0. Read are the standard log, the users' features and
the videos' basic features. Not read is `video_features_statistic_*.csv`: it averages over the whole month,
so its counts hold the future of every row. The log's own outcomes (play time, stay times) are dropped
after the duplicates are, so that no model can take them for features.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from keras_smes.data.interactions import Interactions, KeyGroup, SplitDates
from keras_smes.data.tables import Column, check_unique, drop_duplicates, read_table
from keras_smes.features.schema import Feature, FeatureSchema, IntegerCategory, Number, StringCategory

# "Effective view" is no task: it agrees with click on 97 % of the rows. Neither is hate: too few.
TASKS: Mapping[str, str] = {
    "click": "is_click",
    "long_view": "long_view",
    "like": "is_like",
    "follow": "is_follow",
    "comment": "is_comment",
    "forward": "is_forward",
    "profile_enter": "is_profile_enter",
}
SPLIT_DATES = SplitDates(datetime.date(2022, 5, 4), datetime.date(2022, 5, 5), datetime.date(2022, 5, 6))
# With these, user + video + tab log-odds alone reach the AUC 0.728 of the known no-learning table.
_SMOOTHING = 10.0
STATISTICS = (
    KeyGroup("tab", ("tab",), _SMOOTHING),
    KeyGroup("user", ("user_id",), _SMOOTHING),
    KeyGroup("video", ("video_id",), _SMOOTHING),
    KeyGroup("author", ("author_id",), _SMOOTHING),
    KeyGroup("tag", ("tag",), _SMOOTHING),
    KeyGroup("user_tab", ("user_id", "tab"), _SMOOTHING, towards="user"),
    KeyGroup("video_tab", ("video_id", "tab"), _SMOOTHING, towards="video"),
    KeyGroup("user_author", ("user_id", "author_id"), _SMOOTHING, towards="user"),
    KeyGroup("user_tag", ("user_id", "tag"), _SMOOTHING, towards="user"),
)

_LOG = (
    *(Column(name, "integer") for name in ("user_id", "video_id")),
    Column("date", "date"),
    *(Column(name, "integer") for name in ("hourmin", "time_ms", "tab", "is_rand")),
    *(Column(name, "label") for name in (*TASKS.values(), "is_hate")),
    *(Column(name, "integer") for name in ("play_time_ms", "duration_ms")),
    *(Column(name, "integer") for name in ("profile_stay_time", "comment_stay_time")),
)
_USER_FLAGS = ("is_lowactive_period", "is_live_streamer", "is_video_author")
_USER_CODES = tuple(f"onehot_feat{number}" for number in range(18))
_USER_NUMBERS = ("register_days", "follow_user_num", "fans_user_num", "friend_user_num")
_USER_STRINGS = ("user_active_degree", *(f"{name}_range" for name in _USER_NUMBERS))
_USERS = (
    Column("user_id", "integer"),
    *(Column(name, "integer", optional=True) for name in (*_USER_FLAGS, *_USER_CODES)),
    *(Column(name, "number", optional=True) for name in _USER_NUMBERS),
    *(Column(name, "string", optional=True) for name in _USER_STRINGS),
)
_VIDEOS = (
    Column("video_id", "integer"),
    *(Column(name, "integer", optional=True) for name in ("author_id", "music_type")),
    *(Column(name, "string", optional=True) for name in ("video_type", "upload_type", "tag")),
    Column("upload_dt", "date", optional=True),
    Column("video_duration", "number", optional=True),
)


def load_kuairand(
    variant: str, folder: str | Path, tasks: Sequence[str] = ("click", "long_view", "like")
) -> Interactions:
    """Reads the standard log of KuaiRand with the features of its users and videos.

    Dropped and counted are rows that repeat another exactly, and those that repeat its user, video and
    moment with another `hourmin` or `date`. About 0.9 % of the rows carry a date later than their moment:
    splits go by the date as published, statistics by whichever is safe (see `statistics`).

    Args:
        variant: `"pure"`, `"1k"` or `"27k"`.
        folder: The release's folder, or the `data` folder in it.
        tasks: Which signals to learn, of `TASKS`. Defaults to `("click", "long_view", "like")`.

    Returns:
        Interactions to be split at 2022-05-04 where the log holds rows on both sides of it.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a task is unknown or a file is not what it should be.

    Example:

    >>> data = load_kuairand("pure", "KuaiRand-Pure")
    >>> parts = split_with_statistics(data)
    """
    _check_tasks(tasks)
    folder = Path(folder) / "data" if (Path(folder) / "data").is_dir() else Path(folder)
    log, counts = _read_log(_files(folder, f"log_standard_.*_{variant}"))
    users = _read_features(_files(folder, f"user_features_{variant}"), _USERS)
    videos = _read_features(_files(folder, f"video_features_basic_{variant}"), _VIDEOS)
    counts["rows_without_user"] = log.join(users, on="user_id", how="anti").height
    counts["rows_without_video"] = log.join(videos, on="video_id", how="anti").height
    frame = log.join(users, on="user_id", how="left").join(videos, on="video_id", how="left")
    schema = _schema()
    return Interactions(
        name=f"kuairand-{variant}",
        frame=_derive(frame)
        .select("time_ms", "date", *schema.names, *tasks)
        .sort("time_ms", maintain_order=True),
        user="user_id",
        time="time_ms",
        date="date",
        tasks=tuple(tasks),
        schema=schema,
        counts=counts,
        statistics=STATISTICS,
        split_dates=SPLIT_DATES if _holds(log["date"], SPLIT_DATES) else None,
        time_zone="Asia/Shanghai",
    )


def _check_tasks(tasks: Sequence[str]) -> None:
    unknown = [task for task in tasks if task not in TASKS]
    if unknown or not tasks or len(set(tasks)) < len(tasks):
        raise ValueError(f"`tasks` must be different ones of {list(TASKS)}. Received: tasks={tuple(tasks)}")


def _files(folder: Path, stem: str) -> list[Path]:
    """Returns the files of a table, which the larger releases cut into `_part1`, `_part2` and so on."""
    pattern = re.compile(rf"{stem}(_part\d+)?\.csv")
    found = sorted(path for path in folder.glob("*.csv") if pattern.fullmatch(path.name))
    if not found:
        raise FileNotFoundError(f"No file {stem.replace('.*', '*')}.csv in {folder}")
    return found


def _read_log(paths: Sequence[Path]) -> tuple[pl.DataFrame, dict[str, int]]:
    log = pl.concat(read_table(path, _LOG) for path in paths)
    distinct, exact = drop_duplicates(log)
    kept, repeated = drop_duplicates(distinct, ["user_id", "video_id", "time_ms"])
    counts = {
        "rows_read": log.height,
        "exact_duplicates": exact,
        "repeated_impressions": repeated,
        "rows": kept.height,
    }
    return kept, counts


def _read_features(paths: Sequence[Path], columns: Sequence[Column]) -> pl.DataFrame:
    frames = [read_table(path, columns) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        check_unique(path, frame, columns[0].name)
    return drop_duplicates(pl.concat(frames), [columns[0].name])[0]


def _holds(dates: pl.Series, split_dates: SplitDates) -> bool:
    trains = dates <= split_dates.train_until
    tests = dates.is_between(split_dates.test_from, split_dates.test_until)
    return bool(trains.any() and tests.any())


def _derive(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.rename({source: task for task, source in TASKS.items() if source != task}).with_columns(
        (pl.col("hourmin") // 100).alias("hour"),
        # Some videos have several tags; the first is the main one.
        pl.col("tag").str.split(",").list.first(),
        pl.col("video_duration").fill_null(pl.col("duration_ms")),
        (pl.col("date") - pl.col("upload_dt")).dt.total_days().alias("video_age_days"),
    )


def _schema() -> FeatureSchema:
    # Seven rows a user teach an embedding little but noise: the rare ones share a row.
    rare: dict[str, int] = {"user_id": 30, "video_id": 20, "author_id": 20}
    ids: list[Feature] = [IntegerCategory(name, min_count=count) for name, count in rare.items()]
    integers = ("tab", "hour", "music_type", *_USER_FLAGS, *_USER_CODES)
    strings = ("tag", "video_type", "upload_type", *_USER_STRINGS)
    numbers = ("video_duration", "video_age_days", *_USER_NUMBERS)
    return FeatureSchema(
        (
            *ids,
            *(IntegerCategory(name, dim=4) for name in integers),
            *(StringCategory(name, dim=4) for name in strings),
            *(Number(name, log=True) for name in numbers),
        )
    )
