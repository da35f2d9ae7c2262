"""`keras-smes describe`: inspects files and drafts the YAML of a log."""

import argparse
import os
from pathlib import Path

from keras_smes.cli.options import Commands
from keras_smes.console import show


def add(commands: Commands) -> None:
    parser = commands.add_parser("describe", help="inspect files and draft the YAML of a log")
    parser.add_argument(
        "files", nargs="+", metavar="FILES", help="Parquet, CSV or TSV: paths, globs, folders, URLs"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="write the YAML there, such as log.yaml; default: print it only"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from keras_smes.data import describe, draft
    from keras_smes.data.files.object_store import is_url
    from keras_smes.files import whole

    out = None if arguments.out is None else Path(arguments.out)
    if out is not None and out.exists():
        raise ValueError(f"`--out` must be a new file, so that nothing edited is lost. Received: {out}")
    folder = Path() if out is None else out.parent
    files = [path if is_url(path) else os.path.relpath(path, folder) for path in arguments.files]
    text = draft(describe(files, folder), files, name="log" if out is None else out.stem)
    show(text)
    if out is not None:
        with whole(out) as partial:
            partial.write_text(text, encoding="utf-8")
        run = f"runs/{out.stem}"
        show(f"Written to {out}. Read it over, and then:\n")
        show(f"  keras-smes train --data {out} --out {run}")
        show(f"  keras-smes export {run} --to models/{out.stem}")
