"""The server's own rate of wide rows read by primary key: pgbench, without HTTP or Python."""

from collections.abc import Sequence

from benchmarks import online_users
from benchmarks.context import Context, say
from benchmarks.sides import pgbench

CLIENTS = 8
SCRIPTS = 50
"""Users that are read: pgbench takes one script for each."""


def of_four_views(context: Context, users: Sequence[str]) -> str:
    """The rate for the row of fourteen features, as a sentence."""
    return rate(context, online_users.prepared(context), "18 columns", users)


def rate(context: Context, database: str, what: str, users: Sequence[str]) -> str:
    """The rate of reads of `floor.wide` by primary key, as a sentence."""
    queries = [f"SELECT * FROM floor.wide WHERE user_id = '{user}';\n" for user in users[:SCRIPTS]]
    found = pgbench.rate(database, queries, CLIENTS, context.options.seconds)
    if isinstance(found, str):
        return f"The raw read rate was not measured: {found}."
    say(f"  pgbench, {what}: {found:,.0f}/s")
    return (
        f"PostgreSQL itself gives {found:,.0f} rows of {what} a second by primary key"
        f" (pgbench, {CLIENTS} clients, prepared statements)."
    )
