"""Where a month comes from: a folder of this machine, or one behind any fsspec URL."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec

from feature_repo.errors import ConfigurationError
from jobs.ingest import TABLES
from jobs.urls import failure, shown


@contextmanager
def local_folder(source: str) -> Iterator[Path]:
    """The month's folder; files behind a URL are downloaded and removed again.

    A file that is not there is not downloaded, so that the ingest names it.

    Raises:
        ConfigurationError: no such kind of URL.
        StreamflowError: the download failed.
    """
    if "://" not in source:
        yield Path(source)
        return
    with TemporaryDirectory(prefix="month-") as scratch:
        try:
            files, path = fsspec.core.url_to_fs(source)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(shown(f"{source}: {error}")) from None
        except OSError as error:
            raise failure(f"{source} cannot be read", error) from None
        try:
            for name in TABLES:
                with suppress(FileNotFoundError):
                    files.get_file(within(path, f"{name}.csv"), f"{scratch}/{name}.csv")
        except Exception as error:  # each kind of file system has errors of its own
            raise failure(f"{source} cannot be read", error) from None
        yield Path(scratch)


def within(folder: str, name: str) -> str:
    """Where a file of a folder is, as fsspec names it; over HTTP before the query."""
    query = ""
    if folder.startswith(("http://", "https://")):
        folder, mark, rest = folder.partition("?")
        query = mark + rest
    return f"{folder.rstrip('/')}/{name}{query}"
