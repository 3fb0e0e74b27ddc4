"""The transaction of a materialization: values, ledger and Feast's intervals, or nothing."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import psycopg
from psycopg import Connection, IsolationLevel, sql

from streamflow.catalog.layout import SCHEMA
from streamflow.engine import ledger, unchanged
from streamflow.engine.ledger import Result
from streamflow.engine.write import Planned
from streamflow.postgres import options as connection_options
from streamflow.postgres.connect import first_line

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""Beside pushes, of which one to the same rows makes an attempt fail; the next keeps them out."""
SETTINGS = (
    ("work_mem", "64MB"),
    # Feast may compute for longer than a server lets others' transactions do nothing.
    ("idle_in_transaction_session_timeout", "0"),
    connection_options.UTC,
    connection_options.CHECKED,
)
"""Of a materialization's transaction."""

Some = TypeVar("Some", bound=Planned)
Write = Callable[[Sequence[Some], datetime], list[Result]]
"""Writes the rows of views, of which all or none go inside PostgreSQL, at an instant."""
Errors = dict[str, Exception]
"""By view: why its values are as they were."""


def materialize(
    connection: Connection, planned: Sequence[Some], home: str | None, write: Write[Some]
) -> tuple[dict[str, Result], Errors]:
    """Materializes views in one transaction, or each in its own if that fails.

    Gives the results by view, and the errors of those that failed, which are logged.

    Args:
        connection: in autocommit mode, to the online tables' database.
        planned: all or none of them go inside PostgreSQL.
        home: the schema of Feast's registry in this database; None where it is elsewhere.
    """
    try:
        results = together(connection, planned, home, write) if planned else []
    except Exception as error:
        if len(planned) == 1 or connection.closed:
            return {}, failed([one.view for one in planned], error)
        log.info("views go one by one", extra={"reason": first_line(error)})
        found: dict[str, Result] = {}
        errors: Errors = {}
        for one in planned:
            result, error_of_one = materialize(connection, [one], home, write)
            found |= result
            errors |= error_of_one
        return found, errors
    return {result.name: result for result in results}, {}


def together(
    connection: Connection, planned: Sequence[Some], home: str | None, write: Write[Some]
) -> list[Result]:
    """Writes values, ledger and intervals of the views, all or nothing."""
    connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    for attempt in range(1, ATTEMPTS + 2):
        try:
            if unchanged.is_known(connection):
                sources = [one.source for one in planned if one.source]
                at_rest = unchanged.writes(connection, sources, at_rest=True)
                planned = [replace(one, at_rest=at_rest) for one in planned]
            with connection.transaction():
                connection.execute(connection_options.set_local(SETTINGS))
                lock(connection, planned, alone=attempt > ATTEMPTS)
                if home:
                    entries = [(one.project, one.entries, one.view) for one in planned]
                    ledger.hold(connection, home, entries)
                now = connection.execute("SELECT now()").fetchone()
                found = write(planned, now[0] if now else datetime.now(UTC))
                ledger.record(connection, home, found)
                return found
        except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
            if attempt > ATTEMPTS:
                raise
            log.info("others write the same rows, trying again", extra={"attempt": attempt})
    raise AssertionError("unreachable")


def lock(connection: Connection, planned: Sequence[Planned], alone: bool) -> None:
    """Waits until no other materialization writes the same tables.

    It comes before all queries: the transaction's snapshot is taken by the first, which neither
    SET nor LOCK is, and must not be older than what the other one wrote. Pushes go on unless
    `alone`.
    """
    tables = sorted({one.layout.table for one in planned if one.is_online})
    if tables:
        connection.execute(
            sql.SQL("LOCK TABLE {} IN {} MODE").format(
                sql.SQL(", ").join(sql.Identifier(SCHEMA, table) for table in tables),
                sql.SQL("SHARE ROW EXCLUSIVE" if alone else "SHARE UPDATE EXCLUSIVE"),
            )
        )


def failed(views: Sequence[str], error: Exception) -> Errors:
    """The error of views that were left as they were, which is logged for each of them."""
    for view in views:
        log.error("view not materialized", extra={"view": view, "reason": first_line(error)})
    return dict.fromkeys(views, error)
