"""Spines in files, Parquet or CSV, at a path or any fsspec URL.

A file is copied while its bytes are hashed, since it is read more than once and could become
another one meanwhile; the copy has no name and goes with the process.
"""

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from streamflow.errors import ConfigurationError, SpineRefused, StreamflowError
from streamflow.offline.arrow import BATCH_ROWS
from streamflow.offline.spine import csv_files
from streamflow.offline.spine.spine import Spine, require_columns, spine_of
from streamflow.visible_text import without_secrets

BLOCK = 2**20
PARQUET, CSV = ".parquet", ".csv"


@dataclass(frozen=True)
class SpineFile:
    """A file that was copied to be read."""

    spine: Spine
    sha256: str
    """The hash of its bytes."""


@contextmanager
def opened(
    place: str, timestamp: str, keys: Sequence[str], taken: Sequence[str]
) -> Iterator[SpineFile]:
    """A spine from the file at a path or fsspec URL, whose name says what it is.

    Args:
        keys: the columns that it must have besides the time; those in `taken` it may not have.

    Raises:
        ConfigurationError: there is no such file, or it is neither Parquet nor CSV by its name.
        SpineRefused: it cannot be read as that, or its columns are not as they must be.
        StreamflowError: it cannot be copied now.
    """
    shown = without_secrets(place)
    name = place.partition("?")[0] if "://" in place else place
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in (PARQUET, CSV):
        raise ConfigurationError(
            f"{shown}: a spine is a file whose name ends in {PARQUET} or {CSV}, or a query that"
            " begins with SELECT or WITH"
        )
    with tempfile.TemporaryFile(buffering=0) as copy:  # what is left in a buffer fails once more
        sha256 = copied(place, shown, copy)
        again = partial(reopened, copy)
        with refusing(shown):
            if suffix == PARQUET:
                with again() as file:
                    schema, read = parquet_schema(file), partial(parquet_batches, again, shown)
            else:
                names = csv_files.header(again, shown)
                require_columns(shown, names, timestamp, keys, taken)
                schema = csv_files.schema(again, names, [timestamp], keys)
                read = partial(csv_batches, again, shown, schema)
        require_columns(shown, schema.names, timestamp, keys, taken)
        yield SpineFile(spine_of(shown, timestamp, schema, read), sha256)


def copied(place: str, shown: str, copy: IO[bytes]) -> str:
    """Copies a file; returns the hash of its bytes.

    Raises:
        ConfigurationError: it is not there, or nothing that can be read.
        StreamflowError: reading it, or writing the copy, failed.
    """
    import fsspec

    sha256 = hashlib.sha256()
    try:
        files, path = fsspec.core.url_to_fs(place)
        with files.open(path, "rb") as file:  # fsspec.open would take ? and [ for a pattern
            while block := file.read(BLOCK):
                sha256.update(block)
                left = memoryview(block)
                while left:
                    left = left[copy.write(left) :]
    except FileNotFoundError as error:
        # Over HTTP, fsspec raises it for a server that does not answer as well.
        if error.__cause__ is None or isinstance(error.__cause__, FileNotFoundError):
            raise ConfigurationError(f"{shown}: no such file") from None
        said = f"{shown} cannot be read: {error.__cause__}"
        raise StreamflowError(without_secrets(said)) from None
    except (IsADirectoryError, PermissionError, ImportError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(without_secrets(f"{shown} cannot be read: {said}")) from None
    except Exception as error:  # each kind of file system has errors of its own
        said = str(error) or type(error).__name__
        if getattr(error, "errno", None) == errno.ENOSPC:
            said = (
                f"the folder of temporary files, {tempfile.gettempdir()}, is full; TMPDIR moves it"
            )
        raise StreamflowError(without_secrets(f"{shown} cannot be read: {said}")) from None
    return sha256.hexdigest()


@contextmanager
def reopened(copy: IO[bytes]) -> Iterator[IO[bytes]]:
    """The copy from its beginning, as a file of its own that readers may close."""
    with os.fdopen(os.dup(copy.fileno()), "rb") as file:
        file.seek(0)
        yield file


@contextmanager
def refusing(shown: str) -> Iterator[None]:
    """Turns what Arrow says of a broken file into SpineRefused."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError) as error:
        said = " ".join(str(error).split())
        raise SpineRefused(f"{shown} cannot be read: {said[:300]}") from None


Reopen = Callable[[], Any]


def parquet_schema(file: IO[bytes]) -> pa.Schema:
    """The columns of a Parquet file."""
    with pq.ParquetFile(file) as data:
        return data.schema_arrow


def parquet_batches(again: Reopen, shown: str) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, page by page, however large its row groups are."""
    with (
        refusing(shown),
        again() as file,
        pq.ParquetFile(file, pre_buffer=False, buffer_size=BLOCK) as data,
    ):
        yield from data.iter_batches(BATCH_ROWS)


def csv_batches(again: Reopen, shown: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of a CSV file in the types of `schema`."""
    with refusing(shown):
        yield from csv_files.batches(again, schema)
