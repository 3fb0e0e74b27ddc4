"""Tables of schema `streamflow_staging`, where the tasks of one run put their rows.

A run has a number, and holds the advisory lock of that number as long as it lives; PostgreSQL gives
it back when the run is killed. So whoever gets the lock of a table's number may drop the table. The
tables are unlogged: a server that crashes empties them, which their counts then tell.
"""

import logging
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection, sql

from streamflow.errors import StreamflowError
from streamflow.lake.staged import definitions
from streamflow.postgres import locks
from streamflow.postgres.connect import lock_key

SCHEMA = "streamflow_staging"
LOCK = lock_key("staging") >> 1
"""The first half of the locks' keys; the second one is the run's number."""
NAME = re.compile(r"run_(\d+)_(\d+|parts)")
LOCK_WAIT_MS = 5000
"""The longest wait for a lost task that still writes; the next run tries again."""

Written = Mapping[int, int]
"""The rows that each partition of a view has put there, by its number; those with rows alone."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Staging:
    """The tables of one run."""

    number: int
    places: dict[str, int] = field(default_factory=dict)
    """The number of each view's table."""

    def table(self, view: str) -> sql.Identifier:
        """The table of a view's rows."""
        at = self.places.setdefault(view, len(self.places))
        return sql.Identifier(SCHEMA, f"run_{self.number}_{at}")

    @property
    def parts(self) -> sql.Identifier:
        """The table of what each partition has put into the others."""
        return sql.Identifier(SCHEMA, f"run_{self.number}_parts")

    def make(self, connection: Connection, view: str, columns: dict[str, str]) -> None:
        """Makes the table of a view, and that of the partitions."""
        connection.execute(MAKE.format(self.parts, sql.SQL(PARTS)))
        connection.execute(MAKE.format(self.table(view), definitions(columns)))

    def verify(self, connection: Connection, view: str, written: Written) -> None:
        """Returns when a view's table has the rows that Spark says were written, each once.

        Raises:
            StreamflowError: it has others; a server that crashed has emptied it.
        """
        noted = connection.execute(
            sql.SQL("SELECT part, rows FROM {} WHERE view = %s AND rows > 0").format(self.parts),
            [self.places[view]],
        ).fetchall()
        counted = connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(self.table(view))
        ).fetchone()
        if dict(noted) != written or counted != (sum(written.values()),):
            raise StreamflowError(
                f"feature view {view}: Spark wrote {sum(written.values()):,} rows to"
                f" {self.table(view).as_string(None)}, which has {counted and counted[0]:,};"
                " nothing was merged, run it again"
            )

    def drop(self, connection: Connection) -> None:
        """Drops the tables of the run."""
        drop(connection, [*map(self.table, self.places), self.parts])


MAKE = sql.SQL("CREATE UNLOGGED TABLE IF NOT EXISTS {} ({})")
PARTS = "view integer, part integer, rows bigint NOT NULL, PRIMARY KEY (view, part)"


@contextmanager
def opened(connection: Connection) -> Iterator[Staging]:
    """Yields room for the tables of a run, which are dropped at the end; drops those of dead runs.

    Args:
        connection: in autocommit mode.
    """
    with locks.keeping(connection) as keeper:
        drop_dead(connection, keeper)
        number = secrets.randbelow(2**31)
        keeper.take(LOCK, number)
        found = Staging(number)
        try:
            yield found
            keeper.confirm()
        finally:
            if not connection.closed and not connection.broken:
                found.drop(connection)
            keeper.release(LOCK, number)


def drop_dead(connection: Connection, keeper: locks.Keeper) -> None:
    """Drops the tables of runs that no longer live.

    One that cannot be dropped now is left: a task still writes to it, or another role owns it.
    """
    query = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"
    tables: dict[int, list[str]] = {}
    for (name,) in connection.execute(query, [SCHEMA]).fetchall():
        if found := NAME.fullmatch(name):
            tables.setdefault(int(found[1]), []).append(name)
    for number, names in tables.items():
        if keeper.take(LOCK, number, wait=False) == "busy":
            continue
        try:
            if drop(connection, [sql.Identifier(SCHEMA, name) for name in names]):
                log.info("dropped what a killed run left", extra={"tables": names})
        finally:
            keeper.release(LOCK, number)


def drop(connection: Connection, tables: Sequence[sql.Identifier]) -> bool:
    """Drops tables; False where they cannot be dropped now, which is logged."""
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
            for one in tables:
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(one))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege) as error:
        names = [one.as_string(None) for one in tables]
        log.warning("tables are left to a later run", extra={"tables": names, "reason": str(error)})
        return False
    return True
