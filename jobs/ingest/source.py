"""Fetches a month's files from a folder, from any fsspec URL, or from the generator."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec

from jobs.run.urls import url_error, without_secrets
from streamflow import settings, snapshots
from streamflow.errors import ConfigurationError

SAMPLE = "sample://"
GENERATED = re.compile(rf"{SAMPLE}users-(\d{{1,9}})/seed-(\d{{1,18}})/month_(\d{{3,6}})", re.ASCII)
"""The URL of a generated month: the number of users, the seed, and the month."""


@contextmanager
def local_folder(source: str) -> Iterator[Path]:
    """Yields the month's folder; files behind a URL are downloaded or generated, and removed again.

    A file that is not there is not downloaded, so that the ingest names it.

    Raises:
        ConfigurationError: no such kind of URL, or no such month can be generated.
        StreamflowError: the download failed, or there is no room.
    """
    if "://" not in source:
        yield Path(source)
        return
    with TemporaryDirectory(prefix="month-") as scratch:
        if source.startswith(SAMPLE):
            yield generated(source, Path(scratch))
            return
        try:
            files, path = fsspec.core.url_to_fs(source)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(without_secrets(f"{source}: {error}")) from None
        except OSError as error:
            raise url_error(f"{source} cannot be read", error) from None
        try:
            for one in snapshots.load(settings.streamflow().feature_repo).files:
                with suppress(FileNotFoundError):
                    name = f"{one.file}.csv"
                    files.get_file(within(path, name), f"{scratch}/{name}")
        except Exception as error:  # each kind of file system has errors of its own
            raise url_error(f"{source} cannot be read", error) from None
        yield Path(scratch)


def generated(source: str, folder: Path) -> Path:
    """Generates the month that a sample:// URL names below `folder`; returns its folder."""
    from jobs.sample.months import write_month

    asked = GENERATED.fullmatch(source)
    if asked is None:
        example = f"{SAMPLE}users-7043/seed-7/month_000"
        raise ConfigurationError(f"{source}: no month to generate; write it like {example}")
    users, seed, month = map(int, asked.groups())
    return write_month(folder, users, month, seed)


def within(folder: str, name: str) -> str:
    """The path of a file in a folder for fsspec; over HTTP the name comes before the query."""
    query = ""
    if folder.startswith(("http://", "https://")):
        folder, mark, rest = folder.partition("?")
        query = mark + rest
    return f"{folder.rstrip('/')}/{name}{query}"
