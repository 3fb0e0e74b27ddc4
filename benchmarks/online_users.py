"""Databases of users that are online with every side, which several sections read."""

from psycopg import sql

from benchmarks import data, postgres
from benchmarks.context import Context, say
from benchmarks.figures import OURS, STOCK
from benchmarks.sides import floor


def prepared(context: Context) -> str:
    """A database whose users both sides and the floor have materialized; made once."""
    if "online" not in context.kept:
        name = context.loaded("streamflow", context.options.users, 1)
        say("materializing with both sides and the floor, to be read")
        for side in (OURS, STOCK):
            repo = context.repo(side, "streamflow")
            context.worker(side).run("materialize", name, side=side, repo=repo, steps=["fresh"])
        with postgres.connect(name) as connection:
            floor.create_tables(connection)
            floor.materialize_wide(connection)
            vacuum(connection)
        context.kept["online"] = name
    return context.kept["online"]


def vacuum(connection: postgres.Connection) -> None:
    """Vacuums and analyzes all that was materialized, so that no side's reads do it."""
    found = connection.execute(
        "SELECT relnamespace::regnamespace::text, relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace::regnamespace::text IN ('online', 'stock_online', 'floor')"
    ).fetchall()
    for schema, table in found:
        connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(schema, table)))


def users_of(context: Context) -> list[str]:
    """The users of `prepared`, in no order."""
    with postgres.connect(prepared(context)) as connection:
        found = connection.execute("SELECT user_id FROM floor.wide ORDER BY md5(user_id)")
        return [row[0] for row in found]


def wide_prepared(context: Context) -> str:
    """A database whose 25 views of 10 features both sides have materialized; made once."""
    if "wide" not in context.kept:
        users = context.options.wide_users

        def prepare(connection: postgres.Connection) -> None:
            connection.execute("CREATE SCHEMA source")
            data.load_wide(connection, users)

        name = context.applied("wide", prepare)
        say(f"materializing {users:,} users x 25 views x 10 features with both sides")
        for side in (OURS, STOCK):
            repo = context.repo(side, "wide")
            context.worker(side).run("materialize", name, side=side, repo=repo, steps=["fresh"])
        with postgres.connect(name) as connection:
            connection.execute("CREATE SCHEMA floor")
            connection.execute("CREATE TABLE floor.wide AS TABLE source.wide")
            connection.execute("ALTER TABLE floor.wide ADD PRIMARY KEY (user_id)")
            vacuum(connection)
        context.kept["wide"] = name
    return context.kept["wide"]
