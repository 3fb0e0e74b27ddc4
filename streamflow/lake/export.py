"""Copies months of snapshots from PostgreSQL into the lake.

A month of a table is one Parquet file, sorted by user, whose name is the hash of its bytes: the
same rows are the same file, so that a month which did not change is not written again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
from psycopg import Connection, sql

from streamflow.errors import ConfigurationError
from streamflow.lake import catalog, files
from streamflow.lake.table import LakeFile, LakeTable
from streamflow.lake.types import schema
from streamflow.offline.connect import connect, from_environment
from streamflow.offline.select import Batches, Select, fetched
from streamflow.postgres.connect import connect as connect_to_lock
from streamflow.postgres.connect import lock
from streamflow.postgres.snapshot_tables import SCHEMA, labelled
from streamflow.sink import Sink
from streamflow.snapshots import KEY, TIME, Snapshot, Snapshots

LOCK = "lake"
"""The advisory lock under which one run at a time writes the lake."""
WORK_MEM = "64MB"


@dataclass(frozen=True)
class Month:
    """A month of a table, and what an export did with it."""

    table: str
    instant: datetime
    rows: int
    location: str
    """The URL of its file; empty for a table that has no row of the month."""
    is_new: bool
    """True where the lake had other rows, or none."""


@dataclass(frozen=True)
class Staged:
    """A month of a table in a file on this machine."""

    snapshot: Snapshot
    instant: datetime
    path: Path
    rows: int
    sha256: str


Told = Callable[[Month], None]


def export(
    declared: Snapshots,
    instants: Sequence[datetime] = (),
    again: bool = False,
    told: Told = lambda _: None,
) -> list[Month]:
    """Brings the lake's months to those of PostgreSQL; all tables change at once, or none.

    All are read in one state of the database, and stored before anybody sees one of them. One
    export at a time; another waits.

    Args:
        instants: the months that are meant; none for all that PostgreSQL has.
        again: store also files that are there, whatever may have happened to them.
        told: called with each month when it was read.

    Raises:
        ConfigurationError: there is no lake, it was at another URL, or PostgreSQL has no such
            month.
        StreamflowError: the lake cannot be written.
    """
    place = files.warehouse(catalog.url())
    found: list[Month] = []
    with connect_to_lock(autocommit=True) as locking, lock(locking, LOCK):
        known = {
            (table, one.instant): one.location
            for table, stored_before in present(declared).items()
            for one in stored_before
        }
        with connect(from_environment(), SCHEMA, WORK_MEM) as database:
            months = months_of(database, declared, instants)
            for snapshot in tables(declared):
                for instant in months:
                    with staged(database, snapshot, instant) as file:
                        found.append(stored(file, place, known, again))
                    told(found[-1])
        commit(declared, [one for one in found if one.is_new])
    return found


def tables(declared: Snapshots) -> tuple[Snapshot, ...]:
    """The tables that have months: not the one with the newest row of each user."""
    return tuple(one for one in declared.files if not one.newest_only)


def months_of(
    connection: Connection[Any], declared: Snapshots, wanted: Sequence[datetime]
) -> list[datetime]:
    """The months that are meant, the oldest first.

    Raises:
        ConfigurationError: PostgreSQL has not all of those that are wanted; names the first.
    """
    there = labelled(connection, declared)
    for one in wanted:
        if one not in there:
            days = ", ".join(str(day.date()) for day in there) or "none"
            raise ConfigurationError(f"no month {one.date()} is stored; there are: {days}")
    return sorted(set(wanted)) or there


def present(declared: Snapshots) -> dict[str, list[LakeFile]]:
    """The files of the present version by table, the oldest month first.

    Raises:
        ConfigurationError: there is no lake.
    """
    with catalog.opened() as known:
        found = {one.table: LakeTable.load(known, one.table) for one in tables(declared)}
        return {name: table.files() if table else [] for name, table in found.items()}


@contextmanager
def staged(connection: Connection[Any], snapshot: Snapshot, instant: datetime) -> Iterator[Staged]:
    """Writes a month of a table to a file on this machine, which goes at the end of the block."""
    final, rows = schema(snapshot), 0
    with TemporaryDirectory(prefix="lake-") as folder:
        path = Path(folder) / "month.parquet"
        with path.open("wb") as file, closing(batches(connection, snapshot, instant)) as read:
            sink = Sink(file)
            with pq.ParquetWriter(sink, final, compression="zstd", store_schema=False) as writer:
                for batch in read:
                    writer.write_batch(batch.cast(final))
                    rows += batch.num_rows
        yield Staged(snapshot, instant, path, rows, sink.hash.hexdigest())


def batches(connection: Connection[Any], snapshot: Snapshot, instant: datetime) -> Batches:
    """The rows of a month, sorted by the bytes of their keys."""
    columns = list(snapshot.every_column())
    query = sql.SQL('SELECT {} FROM {} WHERE {} = {} ORDER BY {} COLLATE "C"').format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.Identifier(SCHEMA, snapshot.table),
        sql.Identifier(TIME),
        sql.Literal(instant),
        sql.Identifier(KEY),
    )
    return fetched(connection, Select(query, [(name, False) for name in columns]))[1]


def stored(
    file: Staged, place: str, known: Mapping[tuple[str, datetime], str], again: bool
) -> Month:
    """Stores a month's file in the lake, unless it is there already; nobody sees it yet."""
    table, instant = file.snapshot.table, file.instant
    day = instant.strftime("%Y%m%dT%H%M%SZ")
    location = ""
    if file.rows:
        location = f"{place}/{SCHEMA}/{table}/data/{day}/{file.sha256}.parquet"
    is_new = known.get((table, instant), "") != location
    if location and (is_new or again):
        files.put(file.path, location)
    return Month(table, instant, file.rows, location, is_new)


def commit(declared: Snapshots, months: Sequence[Month]) -> None:
    """Makes stored files the present version of their tables, in one transaction."""
    if not months:
        return
    with catalog.opened() as tables_of:
        for snapshot in tables(declared):
            new = [one for one in months if one.table == snapshot.table]
            if new:
                table = LakeTable.make(tables_of, snapshot.table, schema(snapshot))
                for one in new:
                    table = table.replaced(one.instant, one.location)
