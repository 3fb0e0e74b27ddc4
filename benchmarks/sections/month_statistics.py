"""Statistics of a month: all columns of five tables, beside reading the month once."""

import time
from collections.abc import Callable
from datetime import datetime

from psycopg import Connection, sql

from benchmarks import data, postgres
from benchmarks.context import Context, say
from benchmarks.figures import OURS, Section
from streamflow import settings, snapshots
from streamflow.statistics import month

READ_ONCE = "bare count(*)"
MOST_SECONDS = 5
"""For the largest month, on two cores."""


def measure(context: Context) -> Section:
    """Measures statistics of a month of all sizes, inside the transaction that would store it."""
    section = Section("Statistics of a month", [READ_ONCE])
    section.notes = [
        "Rows, nulls, different values, moments, quantiles, bins and categories of seventeen"
        " columns, and the hash over the users, written and then rolled back. The floor counts the"
        " rows of the same five tables.",
    ]
    for users in context.options.sizes:
        row = section.row(f"{users:,} users", "s")
        if users == max(context.options.sizes):
            row.at_most = MOST_SECONDS
        database = context.loaded("streamflow", users, 1)
        with postgres.connect(database) as connection:
            for _ in range(context.options.rounds):
                for side, work in {OURS: counted, READ_ONCE: read}.items():
                    row.add(side, took(connection, work))
                    say(f"  {side}: {users:,} users in {row.samples[side][-1]:.2f} s")
        context.databases.drop(database)
    return section


def took(connection: Connection, work: Callable[[Connection], None]) -> float:
    """The seconds that a piece of work takes in a transaction, which is rolled back."""
    with connection.transaction(force_rollback=True):
        began = time.perf_counter()
        work(connection)
        return time.perf_counter() - began


def counted(connection: Connection) -> None:
    """Makes the statistics of the month."""
    declared = snapshots.load(settings.FEATURE_REPO)
    written = {one.file: 1 for one in declared.files}
    month.update(connection, declared, datetime.fromisoformat(data.FIRST_MONTH), written, {})


def read(connection: Connection) -> None:
    """Counts the rows of the month's tables."""
    for table in data.TABLES.values():
        query = sql.SQL("SELECT count(*) FROM {} WHERE as_of = %s")
        connection.execute(query.format(sql.Identifier("source", table)), [data.FIRST_MONTH])
