"""Online reads: Feast's SDK in one process, and what the other sections read from."""

import itertools

from psycopg import sql

from benchmarks import data, floor, server
from benchmarks.context import Context, say
from benchmarks.figures import OURS, STOCK, Section
from benchmarks.worker import Failed

MANY = 100
CALLS = {1: 100, MANY: 20}
"""Calls in a round, by users asked for."""
TARGETS = {1: 1.7, MANY: 3.0}


def prepared(context: Context) -> str:
    """A database whose users both sides and the floor have materialized; made once."""
    if "online" not in context.kept:
        name = context.loaded("streamflow", context.options.users, 1)
        say("materializing with both sides and the floor, to be read")
        for side in (OURS, STOCK):
            repo = context.repo(side, "streamflow")
            context.worker(side).run("materialize", name, side=side, repo=repo, steps=["fresh"])
        with server.connect(name) as connection:
            floor.create_tables(connection)
            floor.materialize_wide(connection)
            vacuum(connection)
        context.kept["online"] = name
    return context.kept["online"]


def vacuum(connection: server.Connection) -> None:
    """Vacuums and analyzes all that was materialized, so that no side's reads do it."""
    found = connection.execute(
        "SELECT relnamespace::regnamespace::text, relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace::regnamespace::text IN ('online', 'stock_online', 'floor')"
    ).fetchall()
    for schema, table in found:
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(schema, table)))


def users_of(context: Context) -> list[str]:
    """The users of `prepared`, in no order."""
    with server.connect(prepared(context)) as connection:
        found = connection.execute("SELECT user_id FROM floor.wide ORDER BY md5(user_id)")
        return [row[0] for row in found]


def measure(context: Context) -> Section:
    """Measures reads of one user and of a hundred, through Feast's SDK."""
    section = Section("Online read through Feast's SDK", [STOCK])
    section.notes = [
        "`get_online_features(…).to_dict()` of all fourteen features in one process and thread,"
        f" of {context.options.users:,} users that are online; some calls of one side, then of the"
        " other.",
    ]
    users = users_of(context)
    for (count, calls), by_list in itertools.product(CALLS.items(), (False, True)):
        form = "list of features" if by_list else "feature service"
        row = section.row(f"{count} user{'s' if count > 1 else ''} a call, by {form}", "ms")
        row.targets = {STOCK: TARGETS[count]}
        try:
            row.samples = context.worker(OURS).run(
                "online_read",
                prepared(context),
                ours=context.repo(OURS, "streamflow"),
                stock=context.repo(STOCK, "streamflow"),
                by_list=by_list,
                users=users[:count],
                rounds=context.options.rounds + 2,
                calls=calls,
            )
        except Failed as failure:
            row.missing = dict.fromkeys((OURS, STOCK), f"failed: {failure}")
        say(f"  {row.work}: {row.median(OURS)} ms, stock Feast {row.median(STOCK)} ms")
    return section


def wide_prepared(context: Context) -> str:
    """A database whose 25 views of 10 features both sides have materialized; made once."""
    if "wide" not in context.kept:
        users = context.options.wide_users

        def prepare(connection: server.Connection) -> None:
            connection.execute("CREATE SCHEMA source")
            data.load_wide(connection, users)

        name = context.applied("wide", prepare)
        say(f"materializing {users:,} users x 25 views x 10 features with both sides")
        for side in (OURS, STOCK):
            repo = context.repo(side, "wide")
            context.worker(side).run("materialize", name, side=side, repo=repo, steps=["fresh"])
        with server.connect(name) as connection:
            connection.execute("CREATE SCHEMA floor")
            connection.execute("CREATE TABLE floor.wide AS TABLE source.wide")
            connection.execute("ALTER TABLE floor.wide ADD PRIMARY KEY (user_id)")
            vacuum(connection)
        context.kept["wide"] = name
    return context.kept["wide"]
