"""Features of a run as of a day: `keras-smes features RUN --as-of DATE --to DIR`."""

import datetime
from importlib.metadata import version
from pathlib import Path

from keras_smes.data import FeatureTables, tables_as_of
from keras_smes.export.publish import publish
from keras_smes.training.run_folder import load_config, load_schema


def write_features(
    run: str | Path, as_of: datetime.date, folder: str | Path, data_dir: str | Path | None = None
) -> Path:
    """Writes the statistics and histories of all keys as of a day, and publishes them as a new version.

    They equal those of that day's rows.

    Args:
        run: Folder of the run.
        as_of: The day; rows of this and later days don't count.
        folder: Folder with one directory per version, created if missing.
        data_dir: Folder of the data set's files. Defaults to `None`.

    Returns:
        The version's directory, for `FeatureTables.read`.

    Raises:
        FileNotFoundError: `run` is not the folder of a finished run.
        ValueError: The log has no row before that day, or its features differ from the model's.
    """
    config = load_config(run)
    tables = tables_as_of(config.load(data_dir), as_of)
    _check_taken(tables, run)

    def write(version_folder: Path) -> None:
        facts = {
            "run": str(run),
            "version": int(version_folder.name),
            "keras_smes": version("keras_smes"),
        }
        tables.write(version_folder, facts)

    return publish(write, folder)


def _check_taken(tables: FeatureTables, run: str | Path) -> None:
    made = {name for table in tables.tables for name in table.default}
    if missing := sorted(made - set(load_schema(run).names)):
        raise ValueError(
            "`run` must take the statistics and histories that its log declares; the log may have changed "
            f"after the training. Received: {run}, which takes no {missing}"
        )
