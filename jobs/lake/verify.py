"""Compares the lake with the database: every file by its hash, every month row by row."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq

from jobs.training.verify import first_difference
from streamflow import settings, snapshots
from streamflow.errors import VerificationFailed
from streamflow.lake.export import WORK_MEM, months_of, present, staged, tables
from streamflow.lake.files import sha256
from streamflow.lake.table import LakeFile, require_whole
from streamflow.offline.connect import connect, from_environment
from streamflow.postgres.snapshot_tables import SCHEMA
from streamflow.snapshots import Snapshot
from streamflow.visible_text import without_secrets


@dataclass(frozen=True)
class Verified:
    """The files and rows that a comparison looked at."""

    files: int
    rows: int
    only_in_lake: int
    """Files of months that the database does not have any more."""


def verify(advance: Callable[[int], None] = lambda _: None) -> Verified:
    """Compares all months of the lake's present version with the database.

    Args:
        advance: called with the number of rows of each file that was compared.

    Raises:
        VerificationFailed: a file is not the one that was stored, or a month of the database is
            not in the lake, or another one; names the first difference.
        ConfigurationError: there is no lake.
    """
    declared = snapshots.load(settings.streamflow().feature_repo)
    rows, only, every = 0, 0, present(declared)
    with connect(from_environment(), SCHEMA, WORK_MEM) as database:
        stored = months_of(database, declared, [])
        for snapshot in tables(declared):
            known = {one.instant: one for one in every[snapshot.table]}
            for file in known.values():
                require_same(file)
                rows += file.rows
                only += file.instant not in stored
                advance(file.rows)
            for instant in stored:
                with staged(database, snapshot, instant) as now:
                    compare(snapshot, instant, known.get(instant), now.path, now.sha256, now.rows)
    return Verified(sum(map(len, every.values())), rows, only)


def require_same(file: LakeFile) -> None:
    """Returns when a file has the bytes that were stored.

    Raises:
        VerificationFailed: it has not.
    """
    require_whole(file)
    if (found := sha256(file.location)) != file.sha256:
        raise VerificationFailed(
            f"{without_secrets(file.location)} is not the file that was stored (sha256"
            f" {found[:12]}…); where PostgreSQL still has the month: streamflow snapshot export"
            f" --as-of {file.instant.date()} --again"
        )


def compare(
    snapshot: Snapshot,
    instant: datetime,
    file: LakeFile | None,
    now: Path,
    sha256: str,
    count: int,
) -> None:
    """Returns when a month of the lake is that of the database.

    Raises:
        VerificationFailed: it is not; names the first difference.
    """
    if (file is None and not count) or (file is not None and file.sha256 == sha256):
        return
    month = f"{snapshot.table}, {instant.date()}"
    if file is None:
        raise VerificationFailed(
            f"{month}: {count:,} rows in the database, none in the lake; run: streamflow snapshot"
            f" export --as-of {instant.date()}"
        )
    said = first_difference(rows_of(file.location), rows_of(str(now)))
    raise VerificationFailed(f"{month}: {said}; run: streamflow snapshot export")


def rows_of(location: str) -> Iterator[dict[str, Any]]:
    """The rows of a file of Parquet."""
    with fsspec.open(location, "rb") as file, pq.ParquetFile(file) as month:
        for batch in month.iter_batches():
            yield from batch.to_pylist()
