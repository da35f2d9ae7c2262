"""Scores of many rows as Parquet parts; a killed call resumes for the same run and files.

The folder holds `part-00000.parquet` and so on, each written atomically with the keys of its rows and a score
per task, and `manifest.json`, which identifies run, files and rows.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import polars as pl

from keras_smes.console import track
from keras_smes.data import Interactions
from keras_smes.files import clear_partial, read_json_object, whole
from keras_smes.locks import locked
from keras_smes.training.config import differing_keys
from keras_smes.training.input.preprocessing import preprocess
from keras_smes.training.rows_to_score import PLACE, RowsToScore, ScoreSource, read_rows_to_score
from keras_smes.training.run_folder import MODEL, SCHEMA, load_run, write_json
from keras_smes.training.scorer import Chunk, score
from keras_smes.validation import check_count

MANIFEST = "manifest.json"
PART_ROWS = 262_144


def score_run(
    run: str | Path,
    out: str | Path,
    source: ScoreSource | None = None,
    part_rows: int = PART_ROWS,
    verbose: int = 0,
) -> dict[str, int]:
    """Scores rows and writes Parquet parts with their keys and a score per task.

    The rows need no labels. A row's statistics and histories are as of its day, see `read_rows_to_score`. A
    repeated call keeps existing parts and writes the missing ones. Rows of a log above its `memory` stay on
    disk; memory holds the rows of one part.

    Args:
        run: Folder of the run.
        out: Folder of the parts, created if missing.
        source: The `ScoreSource` of the rows. Defaults to `None`, the run's own data.
        part_rows: Rows per part. Defaults to `262144`.
        verbose: `1` shows a progress bar. Defaults to `0`.

    Returns:
        `rows`, `parts`, and the number of parts `written` by this call.

    Raises:
        FileNotFoundError: `run` is not the folder of a finished run, or a file of rows is missing.
        ValueError: `out` has scores of another run or of other files, which are named; a column is missing.
        LockedError: Another process writes into `out`.

    Example:

    >>> config = RunConfig("simulated", {"rows": 900}, experts={"num_experts": 4})
    >>> metrics = train_run(config, folder / "run", options=RunOptions(verbose=0))
    >>> score_run(folder / "run", folder / "scores", part_rows=400)
    {'rows': 900, 'parts': 3, 'written': 3}
    """
    out, part_rows = Path(out), check_count("part_rows", part_rows)
    ranker, _ = load_run(run)
    with locked(out):
        clear_partial(out)
        source = source or ScoreSource()
        chosen = read_rows_to_score(run, source)
        parts = -(-len(chosen.rows) // part_rows)
        _begin(out, _recipe(run, source, chosen, part_rows))
        paths = {out / f"part-{part:05d}.parquet": part for part in range(parts)}
        missing = {path: part for path, part in paths.items() if not path.exists()}
        for path in track(list(missing), "Scoring", verbose):
            _write_part(
                path, ranker, chosen, slice(missing[path] * part_rows, (missing[path] + 1) * part_rows)
            )
    return {"rows": len(chosen.rows), "parts": parts, "written": len(missing)}


def scores_of(ranker: keras.Model, rows: Interactions) -> dict[str, np.ndarray]:
    """Returns the ranker's scores of rows, float32 `[N]` by task."""
    features = preprocess(ranker, rows.columns())
    every_row = Chunk(slice(None), features, np.ones(len(rows), bool))
    scores = score(ranker, [every_row], len(rows))
    return {name: own.astype(np.float32) for name, own in scores.items()}


def _write_part(path: Path, ranker: keras.Model, chosen: RowsToScore, own: slice) -> None:
    rows = chosen.rows.take(own)
    columns = [pl.Series(name, values) for name, values in scores_of(ranker, rows).items()]
    with whole(path) as partial:
        # The pages of a Parquet column depend on its chunks.
        chosen.keys_of(rows, own.start).with_columns(columns).rechunk().write_parquet(partial)


def _recipe(run: str | Path, source: ScoreSource, chosen: RowsToScore, part_rows: int) -> dict[str, Any]:
    """Identifies run, files and rows, as JSON values."""
    digests = {name: hashlib.sha256((Path(run) / name).read_bytes()).hexdigest() for name in (MODEL, SCHEMA)}
    recipe = {
        "run": digests,
        "files": chosen.sources,
        "keys": list(chosen.keys) or [PLACE],
        "first": source.first,
        "last": source.last,
        "rows": len(chosen.rows),
        "part_rows": part_rows,
    }
    plain: dict[str, Any] = json.loads(json.dumps(recipe, default=str))
    return plain


def _begin(out: Path, ours: Mapping[str, Any]) -> None:
    """Writes the manifest, or rejects a folder with another one."""
    if (out / MANIFEST).is_file():
        _check_same(out, read_json_object(out / MANIFEST), ours)
    elif found := sorted(path.name for path in out.glob("part-*.parquet")):
        raise ValueError(f"`out` must have no parts without {MANIFEST}. Received: {out} with {found[0]}")
    write_json(out / MANIFEST, ours)


def _check_same(out: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    if differing := differing_keys(theirs, ours):
        raise ValueError(
            f"{out} has scores of another run, or of other files or rows: use another folder, or delete it. "
            f"Received: differing {differing}"
        )
