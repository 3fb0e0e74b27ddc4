"""Loads one month: checks its files whole and stores all of them or nothing.

Idempotent by (user_id, as_of): the same files again write nothing, a corrected file writes
only the rows that differ. A run that is killed leaves nothing behind.
"""

import io
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.csv
from psycopg import Connection, sql

from jobs.ingest.check import FAULTS_KEPT, faults, schemas
from jobs.ingest.drift import compare_with_month_before
from jobs.ingest.read import Reader
from jobs.run.instants import midnight
from jobs.run.result import Counts, Run
from streamflow import settings, snapshots, tracing
from streamflow.errors import ConfigurationError, DriftRefused, Fault, InputRefused
from streamflow.postgres.connect import connect, lock
from streamflow.snapshots import KEY, TIME, Snapshot, Snapshots
from streamflow.visible_text import difference, quoted, skeleton

log = logging.getLogger(__name__)


def ingest(
    run: Run,
    directory: Path,
    as_of: date,
    advance: Callable[[int], None] = lambda _: None,
    refuse_drift: bool = False,
) -> None:
    """Loads the month in `directory` as the snapshots of `as_of`, midnight UTC.

    Args:
        run: its counts are filled in, and `drift` in its details.
        advance: called with bytes read, for a progress bar.
        refuse_drift: refuse a month that differs from the one before by more than its thresholds.

    Raises:
        ConfigurationError: the folder cannot be read, or the day lies in the future by the
            database's clock.
        InputRefused: the month has faults; nothing was stored.
        DriftRefused: it has drifted, and that was to be refused; nothing was stored.
    """
    require_folder(directory)
    declared = snapshots.load(settings.streamflow().feature_repo)
    instant = midnight(as_of)
    run.window = (instant, instant)
    with connect() as connection, lock(connection, "ingest") as got:
        if connection.execute("SELECT %s > clock_timestamp()", [instant]).fetchone() == (True,):
            raise ConfigurationError(f"--as-of {as_of} is in the future; give the month's last day")
        if got == "waited":
            log.info("waited for another ingest to end")
        connection.commit()  # so that now(), which becomes loaded_at, comes after the wait
        readers = {}
        for name, schema in schemas(declared, as_of).items():
            with tracing.span("check file", file=name):
                readers[name] = stage(connection, directory / f"{name}.csv", schema, advance)
            run.counts.read += readers[name].rows
        with tracing.span("check across files"):
            refuse_faults(connection, declared, readers)
        late = holds_later(connection, declared, instant)
        stored = {}
        for one in declared.files:
            with tracing.span("store file", file=one.file):
                stored[one.file] = merge(connection, one, instant)
        for one in declared.files:  # joins without statistics are slow
            connection.execute(sql.SQL("ANALYZE {}").format(table_of(one)))
        with tracing.span("count statistics"):
            written = {name: counts.written for name, counts in stored.items()}
            drifted = compare_with_month_before(
                run, connection, declared, instant, written, refuse_drift
            )
        if refuse_drift and drifted:
            raise DriftRefused(drifted)
        connection.commit()
    for name, counts in stored.items():
        counts.late = counts.written if late else 0
        run.counts.add(counts)
        read = {"read": readers[name].rows}  # the run has counted them already
        log.info("file stored", extra={"file": f"{name}.csv", **asdict(counts), **read})


def require_folder(directory: Path) -> None:
    """Raises ConfigurationError unless `directory` is a folder that can be read."""
    try:
        with os.scandir(directory):
            pass
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"{quoted(str(directory))}: not a folder to read ({reason})"
        ) from error


def stage(
    connection: Connection,
    path: Path,
    schema: pandera.DataFrameSchema,
    advance: Callable[[int], None],
) -> Reader:
    """Copies a file as text into a temporary table, faulty rows included; returns its reader."""
    columns = list(schema.columns)
    file = sql.Identifier(path.stem)
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} (line bigint, {}) ON COMMIT DROP").format(
            file, sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(c)) for c in columns)
        )
    )
    reader = Reader(path, columns, advance)
    copy = sql.SQL("COPY {} (line, {}) FROM STDIN (FORMAT csv)").format(file, names(columns))
    with connection.cursor().copy(copy) as stream:
        for block in reader.blocks():
            found = faults(schema, path.name, block)
            reader.report.add(found.first, found.total)
            stream.write(as_csv(block[columns]))
    connection.execute(sql.SQL("ANALYZE {}").format(file))
    return reader


def as_csv(block: pd.DataFrame) -> bytes:
    """Formats a block as CSV for COPY: line number first, nulls unquoted and empty."""
    table = pa.table({"line": pa.array(block.index), **{c: pa.array(block[c]) for c in block}})
    out = io.BytesIO()
    pyarrow.csv.write_csv(table, out, pyarrow.csv.WriteOptions(include_header=False))
    return out.getvalue()


def refuse_faults(connection: Connection, declared: Snapshots, readers: dict[str, Reader]) -> None:
    """Raises InputRefused if a file, or the files together, have faults."""
    for name, reader in readers.items():
        reader.report.add(*faults_across_rows(connection, declared, name, readers))
    total = sum(reader.report.total for reader in readers.values())
    if total:
        first = [fault for reader in readers.values() for fault in reader.report.first]
        raise InputRefused(first[:FAULTS_KEPT], total)


OCCURS_TWICE = """
    SELECT line, user_id, 'occurs already in line ' || first_line AS rule
    FROM {file} JOIN (
        SELECT user_id, min(line) AS first_line FROM {file} GROUP BY 1 HAVING count(*) > 1
    ) AS twice USING (user_id) WHERE line > first_line"""
"""Lines whose user stands in an earlier line of the same file."""

MISSING_FROM = """
    SELECT line, user_id, {rule} FROM {file} AS rows WHERE user_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM {other} WHERE {other}.user_id = rows.user_id)"""
"""Lines whose user is not in another file."""


def faults_across_rows(
    connection: Connection, declared: Snapshots, name: str, readers: dict[str, Reader]
) -> tuple[list[Fault], int]:
    """Finds users that occur twice or miss in the file of users or of labels: first ones and count.

    Where a line of those two could not be read, nobody is said to be missing from it.
    """
    file = sql.Identifier(name)
    searched = [sql.SQL(OCCURS_TWICE).format(file=file)]
    users, labels = declared.users.file, declared.labels.file
    other, rule = (labels, f"has no row in {labels}.csv")
    if name != users:
        other, rule = (users, f"is not in {users}.csv")
    if readers[other].whole:
        searched.append(
            sql.SQL(MISSING_FROM).format(file=file, other=sql.Identifier(other), rule=rule)
        )
    found = connection.execute(
        sql.SQL("SELECT *, count(*) OVER () FROM ({}) AS found ORDER BY line LIMIT {}").format(
            sql.SQL(" UNION ALL ").join(searched), FAULTS_KEPT
        )
    ).fetchall()
    first = [Fault(f"{name}.csv", line, "user_id", user, rule) for line, user, rule, _ in found]
    missing = {user for _, user, says, _ in found if says == rule}
    alike = lookalikes(connection, other, missing)
    first = [
        replace(one, note=difference(one.value, alike[one.value]))
        if one.rule == rule and one.value in alike
        else one
        for one in first
    ]
    return first, found[0][3] if found else 0


def lookalikes(connection: Connection, file: str, users: set[str]) -> dict[str, str]:
    """By user: an id in a staged file that looks the same; users without one are left out."""
    wanted = {skeleton(user) for user in users}
    found: dict[str, str] = {}
    if wanted:
        query = sql.SQL("SELECT user_id FROM {} WHERE user_id IS NOT NULL")
        with connection.cursor(name="lookalikes") as ids:
            ids.itersize = 50_000
            for (one,) in ids.execute(query.format(sql.Identifier(file))):
                if (seen := skeleton(one)) in wanted:
                    found.setdefault(seen, one)
    return {user: found[skeleton(user)] for user in users if skeleton(user) in found}


def holds_later(connection: Connection, declared: Snapshots, as_of: datetime) -> bool:
    """True if a later month was stored before, so that this one is not the newest of every user."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE as_of > %s)")
    row = connection.execute(query.format(table_of(declared.users)), [as_of]).fetchone()
    return bool(row and row[0])


def table_of(snapshot: Snapshot) -> sql.Identifier:
    """The table that has a file's rows."""
    return sql.Identifier("source", snapshot.table)


def merge(connection: Connection, snapshot: Snapshot, as_of: datetime) -> Counts:
    """Merges a staged file into its table: inserts new rows, corrects rows that differ."""
    columns = {KEY: "text"} | {name: one.type for name, one in snapshot.columns.items()}
    values = [TIME, *snapshot.columns]
    typed = [sql.SQL("{}::{}").format(sql.Identifier(c), sql.SQL(t)) for c, t in columns.items()]
    file = sql.Identifier(snapshot.file)
    written = connection.execute(
        sql.SQL("""
            INSERT INTO {table} AS kept (as_of, {columns})
            SELECT %s, {typed} FROM {file} ORDER BY user_id COLLATE "C"
            ON CONFLICT ({key}) DO UPDATE SET (loaded_at, {values}) = (now(), {given})
            WHERE ({kept}) IS DISTINCT FROM ({given}) AND kept.as_of <= EXCLUDED.as_of""").format(
            table=table_of(snapshot),
            columns=names(columns),
            typed=sql.SQL(", ").join(typed),
            file=file,
            # Of one row per user, an older month must not change a newer one's.
            key=names(snapshot.primary_key),
            values=names(values),
            given=names(values, of="excluded"),
            kept=names(values, of="kept"),
        ),
        [as_of],
    ).rowcount
    rows = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(file))
    return Counts(written=written, unchanged=int((rows.fetchone() or [0])[0]) - written)


def names(columns: Iterable[str], of: str | None = None) -> sql.Composed:
    """Lists columns for SQL, separated by commas, of the table `of` if given."""
    return sql.SQL(", ").join(sql.Identifier(*([of] if of else []), column) for column in columns)
