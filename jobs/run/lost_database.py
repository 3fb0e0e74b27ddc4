"""Tells why the database may be lost in run after run of a command."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from streamflow.errors import StoreUnavailable

RUNS = 3
"""So many runs one after the other are no restart: a Job has three attempts."""
ADVICE = (
    f"{RUNS} runs of this command in a row lost the database, whose memory may not be enough for"
    " them: see docs/runbooks/database-away.md, and raise postgres.resources.limits.memory where"
    " it is the chart's"
)
BEFORE = """
    SELECT count(*) FILTER (WHERE outcome = 'killed' OR outcome = 'failed' AND message ~ %s)
    FROM (SELECT outcome, message FROM ops.ledger WHERE command = %s AND run < %s
          ORDER BY run DESC LIMIT %s) AS before"""
"""The number of runs just before that lost it; one that could not say so was killed."""
LOST = "^PostgreSQL|server closed the connection|terminating connection|connection is lost"
"""The messages, in the ledger, of runs that lost the database."""


def was_lost_before(connection: psycopg.Connection, command: str, run: int) -> bool:
    """Tells whether the runs of a command before this one all lost the database."""
    try:
        row = connection.execute(BEFORE, [LOST, command, run, RUNS - 1]).fetchone()
    except psycopg.Error:  # an earlier version granted less; the run is not for that
        return False
    return row == (RUNS - 1,)


@contextmanager
def explaining_losses(lost_before: bool) -> Iterator[None]:
    """Adds the advice to an error with which the database is lost, where it was lost before."""
    try:
        yield
    except (StoreUnavailable, psycopg.OperationalError) as error:
        if not lost_before:
            raise
        raise StoreUnavailable(f"{error}; {ADVICE}") from error
