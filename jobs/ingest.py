"""Loads one month: checks its six files whole and stores all of them or nothing.

Idempotent by (user_id, as_of): the same files again write nothing, a corrected file writes
only the rows that differ. A run that is killed leaves nothing behind.
"""

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.csv
from psycopg import Connection, sql

from feature_repo.database import connect, lock
from feature_repo.errors import ConfigurationError, Fault, InputRefused
from jobs.ledger import Counts, Run
from jobs.month import Reader
from jobs.validate import faults, schemas

log = logging.getLogger(__name__)

TABLES = {
    "users": "users",
    "subscriptions": "subscriptions_profile_snapshots",
    "usage_agg_30d": "usage_agg_30d_snapshots",
    "payments_agg_90d": "payments_agg_90d_snapshots",
    "support_agg_90d": "support_agg_90d_snapshots",
    "labels": "labels_snapshots",
}
"""File (without .csv) to table of schema `source`, in the order they are loaded."""

FAULTS_SHOWN = 10


@dataclass
class Report:
    """The first faults of a month and the number of all."""

    first: list[Fault] = field(default_factory=list)
    total: int = 0
    unread: bool = False
    """Whether a whole file is missing, empty or has another header."""

    def add(self, found: list[Fault]) -> None:
        """Counts `found` and keeps the first ones."""
        self.total += len(found)
        self.first += found[: FAULTS_SHOWN - len(self.first)]


def ingest(
    run: Run, directory: Path, as_of: date, advance: Callable[[int], None] = lambda _: None
) -> None:
    """Loads the month in `directory` as the snapshots of `as_of`, midnight UTC.

    Args:
        run: its counts are filled in.
        advance: called with bytes read, for a progress bar.

    Raises:
        ConfigurationError: the folder is not there, or the day lies in the future.
        InputRefused: the month has faults; nothing was stored.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"{directory}: no such folder")
    if as_of > datetime.now(UTC).date():
        raise ConfigurationError(f"--as-of {as_of} is in the future; give the month's last day")
    instant = datetime.combine(as_of, time(), UTC)
    run.window = (instant, instant)
    with connect() as connection, lock(connection, "ingest") as waited:
        if waited:
            log.info("waited for another ingest to end")
        report = Report()
        for name, schema in schemas(as_of).items():
            run.counts.read += stage(connection, directory, name, schema, report, advance)
        # Where a file could not be read at all, every row of the others would be a fault too.
        if not report.unread:
            for name in TABLES:
                report.add(faults_across_rows(connection, name))
        if report.total:
            raise InputRefused(report.first, report.total)
        for name, table in TABLES.items():
            counts = merge(connection, name, table, instant)
            log.info("file stored", extra={"file": f"{name}.csv", **counts.__dict__})
            run.counts.add(counts)
        connection.commit()


def stage(
    connection: Connection,
    directory: Path,
    name: str,
    schema: pandera.DataFrameSchema,
    report: Report,
    advance: Callable[[int], None],
) -> int:
    """Copies a file as text into a temporary table, faults included; gives its rows."""
    columns = list(schema.columns)
    fields = sql.SQL(", ").join(sql.Identifier(column) for column in columns)
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} (line bigint, {}) ON COMMIT DROP").format(
            sql.Identifier(name),
            sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(c)) for c in columns),
        )
    )
    reader = Reader(directory / f"{name}.csv", columns, advance)
    copy = sql.SQL("COPY {} (line, {}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(name), fields
    )
    found: list[Fault] = []
    with connection.cursor().copy(copy) as stream:
        for block in reader.blocks():
            found += faults(schema, reader.path.name, block)
            stream.write(as_csv(block[columns]))
    found += reader.faults
    report.add(sorted(found, key=lambda fault: fault.line or 0))
    report.unread |= bool(reader.faults) and not reader.rows
    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))
    return reader.rows


def as_csv(block: pd.DataFrame) -> bytes:
    """The block as CSV for COPY: line first, nulls unquoted and empty."""
    table = pa.table({"line": pa.array(block.index), **{c: pa.array(block[c]) for c in block}})
    out = io.BytesIO()
    pyarrow.csv.write_csv(table, out, pyarrow.csv.WriteOptions(include_header=False))
    return out.getvalue()


def faults_across_rows(connection: Connection, name: str) -> list[Fault]:
    """Users that occur twice in a file, that users.csv does not have, or that have no label."""
    # One row per fault: line, user, rule. A user's first line counts, later ones are faults.
    found = connection.execute(
        sql.SQL("""
            SELECT line, user_id, 'occurs already in line ' || first_line FROM (
                SELECT line, user_id, min(line) OVER (PARTITION BY user_id) AS first_line
                FROM {file} WHERE user_id IS NOT NULL) AS rows
            WHERE line > first_line
            UNION ALL
            SELECT line, user_id, 'is not in users.csv' FROM {file} AS rows
            WHERE user_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM users WHERE users.user_id = rows.user_id)
            UNION ALL
            SELECT line, user_id, 'has no row in labels.csv' FROM {file} AS rows
            WHERE {is_users} AND user_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM labels WHERE labels.user_id = rows.user_id)
            ORDER BY 1""").format(file=sql.Identifier(name), is_users=sql.Literal(name == "users"))
    )
    return [Fault(f"{name}.csv", line, "user_id", user, rule) for line, user, rule in found]


def merge(connection: Connection, name: str, table: str, as_of: datetime) -> Counts:
    """Moves a staged file into its table: new rows in, differing rows corrected, others left."""
    columns = typed_columns(connection, name, table)
    values = ["as_of", *(column for column in columns if column != "user_id")]
    # `users` has one row per user, which an older month must not change.
    key = "(user_id)" if name == "users" else "(user_id, as_of)"
    late = connection.execute(
        sql.SQL("SELECT EXISTS (SELECT FROM source.{} WHERE as_of > %s)").format(
            sql.Identifier(table)
        ),
        [as_of],
    ).fetchone()
    written = connection.execute(
        sql.SQL("""
            INSERT INTO source.{table} AS kept (as_of, {columns})
            SELECT %s, {typed} FROM {file}
            ON CONFLICT {key} DO UPDATE
                SET loaded_at = now(), {assign}
                WHERE ({kept}) IS DISTINCT FROM ({given}) AND kept.as_of <= EXCLUDED.as_of""").format(
            table=sql.Identifier(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            typed=sql.SQL(", ").join(
                sql.SQL("{}::{}").format(sql.Identifier(c), sql.SQL(kind))
                for c, kind in columns.items()
            ),
            file=sql.Identifier(name),
            key=sql.SQL(key),
            assign=sql.SQL(", ").join(
                sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(c)) for c in values
            ),
            kept=sql.SQL(", ").join(sql.Identifier("kept", c) for c in values),
            given=sql.SQL(", ").join(sql.Identifier("excluded", c) for c in values),
        ),
        [as_of],
    ).rowcount
    total = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)))
    rows = int((total.fetchone() or [0])[0])
    return Counts(0, written, written if late and late[0] else 0, rows - written)


def typed_columns(connection: Connection, name: str, table: str) -> dict[str, str]:
    """The staged columns with the types they have in their table."""
    found = connection.execute(
        """
        SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0
          AND attname IN (SELECT attname FROM pg_attribute
                          WHERE attrelid = %s::regclass AND attnum > 0)
        ORDER BY attnum""",
        [f"source.{table}", f"pg_temp.{name}"],
    )
    return dict(found.fetchall())
