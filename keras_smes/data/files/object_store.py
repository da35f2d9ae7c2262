"""Files in object stores: `s3://`, `gs://`, `az://` and what else fsspec has a file system for.

fsspec lists files and knows their sizes and times, polars reads them. Both take credentials, region and
endpoint from the environment, such as `AWS_ACCESS_KEY_ID` and `AWS_ENDPOINT_URL`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import cast


def is_url(path: str) -> bool:
    """Whether a path of a log names files in an object store."""
    return "://" in str(path)


def list_objects(url: str, of_folder: Callable[[Path], object]) -> list[Path]:
    """Returns the files of a URL, glob or folder, sorted, as paths with the methods of `pathlib`.

    Args:
        url: Such as `"s3://bucket/log/dt=*/part-*.parquet"`.
        of_folder: Says which files of a folder are taken.

    Raises:
        ImportError: fsspec's file system for such URLs isn't installed; says which.
        ValueError: There is no such file system, or the store can't be reached or read; names the URL.
    """
    try:
        from fsspec.core import url_to_fs
        from upath import UPath
    except ImportError as error:
        raise ImportError(
            f'`files` in an object store need fsspec: pip install "keras_smes[s3]". Received: {url}'
        ) from error
    try:
        store, pattern = url_to_fs(url)
        store.invalidate_cache()  # files that came since the last look
        is_folder = store.isdir(pattern)
        names = store.find(pattern) if is_folder else store.glob(pattern)
        files = [cast(Path, UPath(store.unstrip_protocol(name))) for name in sorted(names)]
    except ImportError as error:
        raise ImportError(f"{url} can't be listed: {error}") from error
    except Exception as error:  # each store's client has errors of its own
        raise ValueError(f"{url} can't be listed: {type(error).__name__}: {error}") from error
    return [file for file in files if of_folder(file)] if is_folder else files
