"""MovieLens-100K: real ratings, fetched with pip inside a wheel that carries them.

GroupLens' terms of use forbid redistributing the data, so this package holds none of it: pip downloads the
published wheel of RecBole 1.2.1, which is not installed, into the user's cache, where its SHA-256 is
checked each time. Read the terms at GroupLens before using the data for more than research.

The split by time is a cold start: people rate once, in one sitting, so of the last 20 % of the ratings 85 %
are by users without any rating before. Statistics of users are mostly empty; those of items carry.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import polars as pl

from keras_smes.data.files.csv_reader import Column, scan_table
from keras_smes.data.files.reader import FILE
from keras_smes.data.interactions import Interactions
from keras_smes.data.log.checks import check_keys
from keras_smes.data.roles import KeyGroup
from keras_smes.data.store.cache import cache_folder
from keras_smes.features.schema import (
    FeatureSchema,
    HashedString,
    IntegerCategory,
    Number,
    StringCategory,
)
from keras_smes.tasks import as_tasks

PACKAGE = "recbole==1.2.1"
WHEEL = "recbole-1.2.1-py3-none-any.whl"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
TASKS = ("like", "love", "dislike")
STATISTICS = (
    KeyGroup("user", ("user_id",), smoothing=5.0),
    KeyGroup("item", ("item_id",), smoothing=5.0),
    KeyGroup("genres", ("genres",)),
    KeyGroup("item_gender", ("item_id", "gender"), smoothing=10.0, towards="item"),
    KeyGroup("user_genre", ("user_id", "genre"), smoothing=5.0, towards="user"),
)

_MEMBERS = "recbole/dataset_example/ml-100k/"
_RATINGS = (
    Column("user_id:token", "integer"),
    Column("item_id:token", "integer"),
    Column("rating:float", "number"),
    Column("timestamp:float", "integer"),
)
_USERS = (
    Column("user_id:token", "integer"),
    Column("age:token", "number", optional=True),
    Column("gender:token", "string", optional=True),
    Column("occupation:token", "string", optional=True),
    Column("zip_code:token", "string", optional=True),
)
_ITEMS = (
    Column("item_id:token", "integer"),
    Column("movie_title:token_seq", "string", optional=True),
    Column("release_year:token", "string", optional=True),
    Column("class:token_seq", "string", optional=True),
)


def load_movielens_100k(folder: str | Path | None = None, sha256: str = WHEEL_SHA256) -> Interactions:
    """Reads MovieLens-100K; without a folder, fetches it first.

    The tasks are `like` (a rating of at least 4), `love` (of 5) and `dislike` (of at most 2).

    Args:
        folder: Where the wheel, or the files `ml-100k.inter`, `.user` and `.item` taken from it, lie.
            `None`, the default, takes the wheel from the cache, and pip downloads it if need be. The cache
            is `$KERAS_SMES_CACHE`, or else `~/.cache/keras_smes`.
        sha256: What the wheel must hash to. Defaults to that of the published one.

    Returns:
        Interactions to be split by a fraction of the ratings, in order of time.

    Raises:
        FileNotFoundError: If the folder holds neither the wheel nor the files.
        RuntimeError: If pip cannot download the wheel.
        ValueError: If the wheel is not the one expected or a file is not what it should be.

    Example:

    >>> parts = split_with_statistics(load_movielens_100k())
    """
    if folder is None:
        return _load_wheel(fetch_wheel(sha256=sha256))
    folder = Path(folder)
    if (folder / WHEEL).is_file():
        _check_hash(folder / WHEEL, sha256)
        return _load_wheel(folder / WHEEL)
    return _load_files(folder)


def fetch_wheel(cache: str | Path | None = None, sha256: str = WHEEL_SHA256) -> Path:
    """Returns the wheel in the cache, downloaded anew if it is not there or is corrupt.

    Args:
        cache: Folder to keep it in. `None`, the default, is `$KERAS_SMES_CACHE` or `~/.cache/keras_smes`.
        sha256: What the wheel must hash to. Defaults to that of the published one.

    Returns:
        Path of the wheel.

    Raises:
        OSError: If pip cannot download it.
        ValueError: If what pip downloads is not the wheel expected.
    """
    cache = cache_folder(cache)
    wheel = cache / WHEEL
    if wheel.is_file() and _sha256(wheel) == sha256:
        return wheel
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as incoming:
        downloaded = _download(Path(incoming))
        _check_hash(downloaded, sha256)
        os.replace(downloaded, wheel)  # whole or not at all, if two runs fetch at once
    return wheel


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(folder), PACKAGE]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode or not (folder / WHEEL).is_file():
        raise OSError(
            f"MovieLens-100K could not be fetched by `{' '.join(command)}`. Where there is no network, put "
            f"{WHEEL} into a folder and give that. Received: {finished.stderr.strip()[-500:]}"
        )
    return folder / WHEEL


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_hash(path: Path, sha256: str) -> None:
    received = _sha256(path)
    if received != sha256:
        raise ValueError(f"{path} must have the SHA-256 {sha256}. Received: {received}")


def _load_wheel(wheel: Path) -> Interactions:
    names = [f"{_MEMBERS}ml-100k.{suffix}" for suffix in ("inter", "user", "item")]
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in names if name in archive.namelist()])
        return _load_files(Path(folder) / _MEMBERS)


def _load_files(folder: Path) -> Interactions:
    rated = _read(folder / "ml-100k.inter", _RATINGS)
    ratings = rated.unique(keep="first", maintain_order=True)
    users = _read(folder / "ml-100k.user", _USERS, "user_id")
    items = _read(folder / "ml-100k.item", _ITEMS, "item_id")
    frame = _derive(ratings.join(users, on="user_id", how="left").join(items, on="item_id", how="left"))
    schema = _schema()
    return Interactions(
        name="movielens-100k",
        frame=frame.select("time_ms", "date", *schema.names, *TASKS).sort("time_ms", maintain_order=True),
        user="user_id",
        time="time_ms",
        date="date",
        tasks=as_tasks(TASKS),
        schema=schema,
        counts={
            "rows_read": rated.height,
            "exact_duplicates": rated.height - ratings.height,
            "rows_without_user": ratings.join(users, on="user_id", how="anti").height,
            "rows_without_item": ratings.join(items, on="item_id", how="anti").height,
            # Two of the published films have a word where the year belongs.
            "rows_without_release_year": frame["release_year"].null_count(),
            "rows": ratings.height,
        },
        statistics=STATISTICS,
    )


def _read(path: Path, columns: tuple[Column, ...], key: str | None = None) -> pl.DataFrame:
    frame = scan_table(path, columns, separator="\t", quote=None).collect()
    frame = frame.rename({name: name.split(":")[0] for name in frame.columns})
    if key is not None:
        check_keys([key], frame.lazy().with_columns(pl.lit(0).alias(FILE)), [path])
    return frame


def _derive(frame: pl.DataFrame) -> pl.DataFrame:
    moment = pl.from_epoch("timestamp")
    return frame.with_columns(
        (pl.col("timestamp") * 1000).alias("time_ms"),
        moment.dt.date().alias("date"),
        moment.dt.hour().alias("hour"),
        pl.col("release_year").cast(pl.Int64, strict=False),
        pl.col("class").alias("genres"),
        pl.col("class").str.split(" ").list.first().alias("genre"),
        (pl.col("rating") >= 4).cast(pl.Int8).alias("like"),
        (pl.col("rating") == 5).cast(pl.Int8).alias("love"),
        (pl.col("rating") <= 2).cast(pl.Int8).alias("dislike"),
    )


def _schema() -> FeatureSchema:
    return FeatureSchema(
        (
            IntegerCategory("user_id", side="user"),
            IntegerCategory("item_id"),
            IntegerCategory("hour", dim=4, side="user"),
            StringCategory("gender", dim=4, side="user"),
            StringCategory("occupation", dim=4, side="user"),
            StringCategory("genre", dim=4),
            HashedString("genres", dim=8, num_bins=256),
            HashedString("zip_code", dim=8, num_bins=512, side="user"),
            Number("age", side="user"),
            Number("release_year"),
        )
    )
