"""KuaiRand (Gao et al., CIKM 2022): impressions of the Kuaishou app, in its official file layout.

Get it from kuairand.com; it is licensed CC BY-SA 4.0. Read are the standard log, the users' features and
the videos' basic features. `video_features_statistic_*.csv` averages over the whole month, so its counts
hold the future of every row: it is read only if leaks are allowed. So are the log's own outcomes (play
time, stay times) as features.
"""

import dataclasses
import datetime
import glob
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from keras_smes.data.files.csv_reader import Column
from keras_smes.data.interactions import Interactions
from keras_smes.data.log.declaration import Log, Table, TimeColumn
from keras_smes.data.log.load import loaded
from keras_smes.data.log.steps import Steps
from keras_smes.data.past.leaks import OUTCOME, reject_leaks
from keras_smes.data.roles import History, KeyGroup, SplitDates
from keras_smes.data.rows import RowsT
from keras_smes.data.split_config import SplitConfig
from keras_smes.features.schema import Feature, FeatureSchema, IntegerCategory, Number, StringCategory
from keras_smes.tasks import RegressionTask, Task, as_tasks, task_from_config
from keras_smes.validation import check_count

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
WATCH_SECONDS = "watch_seconds"  # no event but a length of time: the log's play time
_LAST_DAY = datetime.date(2022, 5, 6)
SPLIT_DATES = SplitDates(datetime.date(2022, 5, 4), datetime.date(2022, 5, 5), _LAST_DAY)
TIME_ZONE = "Asia/Shanghai"
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

_EVENTS = (*TASKS.values(), "is_hate")
_STAYS = ("play_time_ms", "profile_stay_time", "comment_stay_time")
_LOG = (
    *(Column(name, "integer") for name in ("user_id", "video_id")),
    Column("date", "date"),
    *(Column(name, "integer") for name in ("hourmin", "time_ms", "tab", "is_rand", "duration_ms")),
    *(Column(name, "label") for name in _EVENTS),
    *(Column(name, "integer") for name in _STAYS),
)
_LOG_NUMBERS = ("is_rand", "duration_ms")
_OUTCOMES = (*TASKS, "is_hate", *_STAYS, WATCH_SECONDS)
_OF_THE_MONTH = "video_features_statistic counts the whole month, and so holds the future of every row"
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
    variant: str,
    folder: str | Path,
    tasks: Sequence[str | Task | Mapping[str, Any]] = ("click", "long_view", "like"),
    history: int = 0,
    extra_features: Sequence[str] = (),
    allow_leaks: bool = False,
    left_out: Sequence[str] = (),
) -> Interactions:
    """Reads the standard log of KuaiRand with the features of its users and videos, into memory.

    Dropped and counted are rows that repeat another exactly, and those that repeat its user, video and
    moment with another `hourmin` or `date`. About 0.9 % of the rows carry a date later than their moment:
    splits go by the date as published, statistics by whichever is safe (see `days`).

    Args:
        variant: `"pure"`, `"1k"` or `"27k"`. The last is too large for most memories: `store_kuairand`.
        folder: The release's folder, or the `data` folder in it.
        tasks: What to learn. A name of `TASKS` is a `BinaryTask`, `"watch_seconds"` a `RegressionTask`
            of how long the video was watched; else a task of such label columns, or its `to_config()`.
            Defaults to `("click", "long_view", "like")`.
        history: How many of the user's last long views each row gets, as `history_video_id`. Defaults to
            `0`, none.
        extra_features: More columns to take as numbers: `is_rand` and `duration_ms` of the log, its
            outcomes, and any column of `video_features_statistic_*.csv`. All but the first two leak.
            Defaults to none.
        allow_leaks: Whether features that leak are taken nonetheless. Defaults to `False`.
        left_out: Features that the model isn't given, such as `("video_id", "author_id")` where a log is too
            small to learn embeddings of them. Statistics by their columns stay. Defaults to none.

    Returns:
        Interactions to be split at 2022-05-04 where the log holds rows on both sides of it.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a task is unknown, a feature leaks, or a file is not what it should be.

    Example:

    >>> data = load_kuairand("pure", "KuaiRand-Pure")
    >>> parts = split_with_statistics(data)
    """
    release = open_release(variant, folder, tasks, history, extra_features, allow_leaks, left_out)
    return release.select(loaded(release.log, STEPS))


@dataclasses.dataclass(frozen=True)
class Release:
    """A release as a declared log, and what is chosen of its rows.

    Args:
        log: The log, with all tasks, so that its rows on disk serve any choice.
        tasks: What to learn.
        schema: The features, but for statistics and histories.
        allow_leaks: Whether features that leak are taken nonetheless.
    """

    log: Log
    tasks: tuple[Task, ...]
    schema: FeatureSchema
    allow_leaks: bool

    def select(self, rows: RowsT) -> RowsT:
        """Returns rows of the log with the requested columns and their roles."""
        labels = [column for task in self.tasks for column in task.columns]
        labels += [history.label for history in self.log.histories]
        keys = [column for key in STATISTICS for column in key.columns]
        columns = list(dict.fromkeys(("time_ms", "date", *self.schema.names, *keys, *labels)))
        return rows.with_roles(
            frame=rows.roles.frame.select(columns),
            time="time_ms",
            date="date",
            tasks=self.tasks,
            schema=self.schema,
            counts=_named(rows.roles.counts),
            split_dates=SPLIT_DATES if _holds(rows.days() or ()) else None,
            allow_leaks=self.allow_leaks,
        )


def open_release(
    variant: str,
    folder: str | Path,
    tasks: Sequence[str | Task | Mapping[str, Any]],
    history: int,
    extra_features: Sequence[str],
    allow_leaks: bool,
    left_out: Sequence[str],
) -> Release:
    """Declares a release and checks what is chosen of it; as for `load_kuairand`."""
    check_count("history", history, minimum=0)
    leaks = {name: _why_it_leaks(name) for name in extra_features if name not in _LOG_NUMBERS}
    reject_leaks("extra_features", leaks, allow_leaks)
    folder = Path(folder) / "data" if (Path(folder) / "data").is_dir() else Path(folder)
    tables = [
        Table(_files(folder, f"user_features_{variant}"), ("user_id",), _USERS),
        Table(_files(folder, f"video_features_basic_{variant}"), ("video_id",), _VIDEOS),
    ]
    if monthly := [name for name in extra_features if name not in (*_LOG_NUMBERS, *_OUTCOMES)]:
        numbers = (Column(name, "number", optional=True) for name in monthly)
        columns = (Column("video_id", "integer"), *numbers)
        tables.append(Table(_files(folder, f"video_features_statistic_{variant}"), ("video_id",), columns))
    log = Log(
        name=f"kuairand-{variant}",
        files=_files(folder, f"log_standard_.*_{variant}"),
        tasks=as_tasks(list(TASKS)),
        features=(),
        user="user_id",
        time=TimeColumn("time_ms"),
        date="date",
        time_zone=TIME_ZONE,
        unique=("user_id", "video_id", "time_ms"),
        tables=tuple(tables),
        statistics=STATISTICS,
        histories=(History("history_video_id", "video_id", "long_view", history),) if history else (),
        split=SplitConfig(**vars(SPLIT_DATES)),
        columns=_LOG,
    )
    return Release(log, _tasks(tasks), _without(_schema(extra_features), left_out), allow_leaks)


def _tasks(tasks: Sequence[str | Task | Mapping[str, Any]]) -> tuple[Task, ...]:
    made: list[Task | str] = []
    for task in tasks:
        if isinstance(task, Mapping):
            made.append(task_from_config(task))
        else:
            made.append(RegressionTask(task) if task == WATCH_SECONDS else task)
    known = (*TASKS, WATCH_SECONDS)
    checked = as_tasks(made)
    unknown = [column for task in checked for column in task.columns if column not in known]
    if unknown:
        raise ValueError(f"`tasks` must be of label columns {list(known)}. Received: unknown={unknown}")
    return checked


def _why_it_leaks(name: str) -> str:
    return OUTCOME if name in _OUTCOMES else _OF_THE_MONTH


def _files(folder: Path, stem: str) -> tuple[str, ...]:
    """Returns the files of a table, which the larger releases cut into `_part1`, `_part2` and so on."""
    pattern = re.compile(rf"{stem}(_part\d+)?\.csv")
    found = sorted(path for path in folder.glob("*.csv") if pattern.fullmatch(path.name))
    if not found:
        raise FileNotFoundError(f"No file {stem.replace('.*', '*')}.csv in {folder}")
    return tuple(glob.escape(str(path)) for path in found)


def _named(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns the counts of a log by the names that those of KuaiRand have."""
    read, exact, repeated = (counts[name] for name in ("rows_read", "identical", "duplicates"))
    unmatched = [rows for name, rows in counts.items() if name.startswith("without_")]
    rows = {"exact_duplicates": exact, "repeated_impressions": repeated, "rows": read - exact - repeated}
    names = ("rows_without_user", "rows_without_video", "rows_without_video_statistic")
    return {"rows_read": read, **rows, **dict(zip(names, unmatched, strict=False))}


def _derived(frame: pl.DataFrame) -> pl.DataFrame:
    renamed = frame.rename({source: task for task, source in TASKS.items() if source != task})
    return renamed.with_columns(
        (pl.col("hourmin") // 100).alias("hour"),
        (pl.col("play_time_ms") / 1000).cast(pl.Float32).alias(WATCH_SECONDS),
        # Some videos have several tags; the first is the main one.
        pl.col("tag").str.split(",").list.first(),
        pl.col("video_duration").fill_null(pl.col("duration_ms")),
        (pl.col("date") - pl.col("upload_dt")).dt.total_days().alias("video_age_days"),
    )


STEPS = Steps(
    "kuairand",
    labelling=lambda rows, log: _derived,
    schema=lambda rows, log, dates: _schema(()),
    identical=tuple(column.name for column in _LOG),
)


def _holds(days: Collection[datetime.date]) -> bool:
    tests = [SPLIT_DATES.test_from <= day <= _LAST_DAY for day in days]
    return any(tests) and any(day <= SPLIT_DATES.train_until for day in days)


def _schema(extra_features: Sequence[str]) -> FeatureSchema:
    # With seven rows per user an embedding learns mostly noise: rare users are out-of-vocabulary.
    ids = {"user_id": 30, "video_id": 20, "author_id": 20}
    integers = ("tab", "hour", "music_type", *_USER_FLAGS, *_USER_CODES)
    strings = ("tag", "video_type", "upload_type", *_USER_STRINGS)
    numbers = ("video_duration", "video_age_days", *_USER_NUMBERS, *extra_features)
    features: list[Feature] = [
        *(IntegerCategory(name, min_count=count, side=_side(name)) for name, count in ids.items()),
        *(IntegerCategory(name, dim=4, side=_side(name)) for name in integers),
        *(StringCategory(name, dim=4, side=_side(name)) for name in strings),
        *(Number(name, log=True, side=_side(name)) for name in numbers),
    ]
    return FeatureSchema(tuple(features))


def _without(schema: FeatureSchema, left_out: Sequence[str]) -> FeatureSchema:
    if unknown := [name for name in left_out if name not in schema.names]:
        raise ValueError(f"`left_out` must name features of {schema.names}. Received: unknown={unknown}")
    return FeatureSchema(tuple(feature for feature in schema.features if feature.name not in left_out))


def _side(name: str) -> str:
    """What is true of the user or of the moment is the same for all candidates of a request."""
    return "user" if name in ("tab", "hour", *(column.name for column in _USERS)) else "candidate"
