"""Where a month comes from: a folder of this machine, or one behind any fsspec URL."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec

from feature_repo.errors import ConfigurationError, StreamflowError
from jobs.ingest import TABLES


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
            raise ConfigurationError(f"{source}: {error}") from error
        except OSError as error:
            raise StreamflowError(f"{source} cannot be read: {error}") from error
        try:
            for name in TABLES:
                with suppress(FileNotFoundError):
                    files.get_file(f"{path.rstrip('/')}/{name}.csv", f"{scratch}/{name}.csv")
        except Exception as error:  # each kind of file system has errors of its own
            raise StreamflowError(f"{source} cannot be read: {error}") from error
        yield Path(scratch)
