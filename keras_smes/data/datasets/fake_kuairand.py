"""A fake release of KuaiRand in the official layout, with random values, to test readers at any size."""

import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from keras_smes.validation import check_count

FIRST = datetime.datetime(2022, 4, 22, 16, tzinfo=datetime.UTC)  # midnight in Shanghai

_EVENTS = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view")
_USER_NUMBERS = ("register_days", "follow_user_num", "fans_user_num", "friend_user_num")
_WORDS: dict[str, Sequence[str | None]] = {
    "video_type": ("NORMAL", "AD"),
    "upload_type": ("Kmovie", "LongImport"),
    "tag": ("39,3", "2", "11", None),
}
_BLOCK_ROWS = 500_000


def write_made_up_kuairand(
    folder: str | Path,
    rows: int,
    users: int = 50,
    videos: int = 80,
    days: int = 16,
    seed: int = 0,
    parts: int = 1,
    variant: str = "pure",
) -> Path:
    """Writes a log with the features of its users and videos, in bounded memory.

    As in the real one some rows come twice, some are repeated with another `hourmin`, some are dated a day
    late; and the first user and video are described nowhere.

    Args:
        folder: Folder of the release, made if there is none.
        rows: Rows of the log, repeats aside.
        users: Users. Defaults to `50`.
        videos: Videos. Defaults to `80`.
        days: Days over which the rows lie. Defaults to `16`.
        seed: Seed of it all. Defaults to `0`.
        parts: Into how many files the log is cut. Defaults to `1`.
        variant: As which release the files are named. Defaults to `"pure"`.

    Returns:
        The folder.
    """
    for name, count in {"rows": rows, "users": users, "videos": videos, "days": days, "parts": parts}.items():
        check_count(name, count)
    data = Path(folder) / "data"
    data.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for part in range(parts):
        suffix = f"_part{part + 1}" if parts > 1 else ""
        with (data / f"log_standard_4_22_to_5_08_{variant}{suffix}.csv").open("wb") as file:
            left = rows * (part + 1) // parts - rows * part // parts
            while left or file.tell() == 0:
                block = min(left, _BLOCK_ROWS)
                _log(rng, block, users, videos, days).write_csv(file, include_header=file.tell() == 0)
                left -= block
    _users(rng, users).write_csv(data / f"user_features_{variant}.csv")
    _videos(rng, videos).write_csv(data / f"video_features_basic_{variant}.csv")
    return Path(folder)


def _log(rng: np.random.Generator, rows: int, users: int, videos: int, days: int) -> pl.DataFrame:
    moment = int(FIRST.timestamp()) + rng.integers(0, days * 86_400, rows)
    late = np.where(rng.random(rows) < 0.02, 86_400, 0)
    local = pl.from_epoch(pl.Series(moment + late + 8 * 3600))
    user = rng.integers(0, users, rows)
    fondness = np.random.default_rng(users).random(users)[user]
    frame = pl.DataFrame(
        {
            "user_id": user,
            "video_id": rng.integers(0, videos, rows),
            "date": local.dt.strftime("%Y%m%d"),
            "hourmin": rng.integers(0, 24, rows) * 100,
            "time_ms": moment * 1000,
            **{name: (rng.random(rows) < fondness).astype(np.int8) for name in _EVENTS},
            "play_time_ms": rng.integers(0, 60_000, rows),
            "duration_ms": rng.integers(1, 60_000, rows),
            "profile_stay_time": rng.integers(0, 2, rows),
            "comment_stay_time": rng.integers(0, 2, rows),
            "is_profile_enter": rng.integers(0, 2, rows),
            "is_rand": np.zeros(rows, np.int8),
            "tab": rng.integers(0, 5, rows),
        }
    )
    again = frame[rng.integers(0, rows, rows * 3 // 100)] if rows else frame
    other = frame[rng.integers(0, rows, rows * 2 // 100)] if rows else frame
    other = other.with_columns(pl.lit(2359, pl.Int64).alias("hourmin"))
    # The real logs go user by user too.
    return pl.concat([frame, again, other]).sort("user_id", maintain_order=True)


def _users(rng: np.random.Generator, users: int) -> pl.DataFrame:
    numbers = {name: rng.integers(0, 1000, users) for name in _USER_NUMBERS}
    hundreds = {name: values // 100 for name, values in numbers.items()}
    frame = pl.DataFrame(
        {
            "user_id": np.arange(users),
            "user_active_degree": ["high_active"] * users,
            **{name: rng.integers(0, 2, users) for name in ("is_lowactive_period", "is_live_streamer")},
            "is_video_author": rng.integers(0, 2, users),
            **numbers,
            **{f"{name}_range": [f"[{k}00,{k + 1}00)" for k in values] for name, values in hundreds.items()},
            **{f"onehot_feat{k}": rng.integers(0, 5, users) for k in range(18)},
        }
    )
    return frame[1:]


def _videos(rng: np.random.Generator, videos: int) -> pl.DataFrame:
    drawn = {name: rng.integers(0, len(words), videos) for name, words in _WORDS.items()}
    frame = pl.DataFrame(
        {
            "video_id": np.arange(videos),
            "author_id": rng.integers(0, 1 + videos // 3, videos),
            **{name: [_WORDS[name][k] for k in picked] for name, picked in drawn.items()},
            "upload_dt": ["2022-04-10"] * videos,
            "video_duration": rng.integers(1, 60_000, videos).astype(np.float64),
            "music_type": rng.integers(0, 10, videos),
        }
    )
    return frame[1:]
