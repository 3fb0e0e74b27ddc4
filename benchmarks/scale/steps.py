"""Runs the pipeline once for a number of users, and measures each of its commands."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg import sql

from benchmarks import load, postgres
from benchmarks.context import Context, say
from benchmarks.cost import Cost, cost, server_cost
from benchmarks.figures import OURS
from benchmarks.online_users import vacuum
from benchmarks.sides import servers

DAY = "2024-01-31"
"""The only month's as_of."""
AFTER = "2024-02-01"
"""The beginning of a window after it, in which there are the rows alone that were changed since."""
MEMORY_MIB = 1_024
"""The most that DuckDB may take."""
CONNECTIONS = 8
READ_USERS = 20_000
"""Users that are asked for, chosen at random among all."""

VIEWS = {
    "subscriptions_profile_snapshots": "months_active",
    "usage_agg_30d_snapshots": "rebuffer_events_7d",
    "payments_agg_90d_snapshots": "failed_payments_90d",
    "support_agg_90d_snapshots": "support_tickets_90d",
}
"""The tables of the views, each with a column that is changed."""

Figures = dict[str, float]


def measure(context: Context, users: int) -> dict[str, Any]:
    """Measures every step for so many users; `steps`, `bytes` and `api` by what was measured."""
    database = context.databases.create(f"scale_{users}")
    with tempfile.TemporaryDirectory(dir=context.home) as folder:
        run = Run(context, database, Path(folder), users)
        run.pipeline()
        found = {"steps": run.steps, "bytes": run.sizes(), "api": run.api()}
    context.databases.drop(database)
    return found


class Run:
    """One run of the pipeline.

    Args:
        database: an empty one.
        folder: for the month's files, the lake and the training sets.
    """

    def __init__(self, context: Context, database: str, folder: Path, users: int) -> None:
        self.steps: dict[str, Figures] = {}
        self._context, self._database, self._folder = context, database, folder
        self._users, self._lake = users, folder / "lake"
        self._environment = postgres.environment(
            database,
            STREAMFLOW_FEATURE_REPO=context.repo(OURS, "streamflow"),
            STREAMFLOW_LAKE_MEMORY_MIB=str(MEMORY_MIB),
        )

    def pipeline(self) -> None:
        """Loads a month, puts it online, changes one user in a hundred, builds training sets."""
        self._run("apply", "apply")
        for path in self._month():
            self._command("ingest", "ingest", path, "--as-of", DAY)
        with self._connected() as connection:
            make_older(connection)
        self._command("materialize", "materialize")
        self._vacuum()
        self._command("materialize again", "materialize")
        self._change()
        self._command("materialize, 1 % changed, by --start", "materialize", "--start", AFTER)
        self._change()
        self._command("materialize, 1 % changed", "materialize")
        self._vacuum()
        out = ["--as-of", DAY, "--out"]
        self._command("training set", "training-set", *out, f"{self._folder}/database.parquet")
        self._environment["STREAMFLOW_LAKE_URL"] = str(self._lake)
        self._command("snapshot export", "snapshot", "export")
        out = ["--from", "lake", *out]
        lake_out = f"{self._folder}/lake.parquet"
        self._command("training set from the lake", "training-set", *out, lake_out)

    def _month(self) -> Iterator[str]:
        """The month's folder, whose files are there only while it is used."""
        with tempfile.TemporaryDirectory(dir=self._folder) as month:
            out = ["sample", "--users", str(self._users), "--months", "1", "--out", month]
            self._run("sample", *out)
            yield f"{month}/month_000"

    def _command(self, step: str, *words: str) -> None:
        """Runs a command of ours as a process of its own and keeps what it cost."""
        with server_cost() as server, self._connected() as connection:
            before = postgres.wal_position(connection)
            own = self._run(step, *words)
            wal = postgres.wal_position(connection) - before
        self.steps[step] = {
            "seconds": own.seconds,
            "cpu": own.cpu_seconds,
            "server_cpu": server.cpu_seconds,
            "peak": own.peak_mb,
            "server_peak": server.peak_mb,
            "wal": float(wal),
        }

    def _run(self, step: str, *words: str) -> Cost:
        own = cost(["-m", "jobs", *words], self._environment)
        say(f"  {step}: {own.seconds:.1f} s, {own.peak_mb:.0f} MB")
        return own

    def _change(self) -> None:
        """Changes one user in a hundred."""
        with self._connected() as connection:
            change_one_in_a_hundred(connection)

    def _vacuum(self) -> None:
        """Vacuums as autovacuum would, so that no step pays for the one before."""
        with self._connected() as connection:
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")

    def sizes(self) -> Figures:
        """Bytes of tables, of their indexes, and of the lake."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT schemaname, sum(pg_table_size(relid)), sum(pg_indexes_size(relid))"
                " FROM pg_stat_user_tables WHERE schemaname IN ('source', 'online') GROUP BY 1"
            ).fetchall()
        found = {}
        for schema, table, index in sorted(rows, reverse=True):
            found[f"{schema}: tables"], found[f"{schema}: indexes"] = float(table), float(index)
        files = (one for one in self._lake.rglob("*.parquet"))
        return {**found, "lake": float(sum(one.stat().st_size for one in files))}

    def api(self) -> Figures:
        """Answers to requests for one user each, by one process of the API without its cache."""
        with self._connected() as connection:
            vacuum(connection)
            users = some_users(connection)
        requests = [load.get(f"/features/{user}") for user in users]
        context = self._context
        repo = context.repo(OURS, "streamflow")
        with servers.ours(self._database, context.home, repo, log="scale") as server:
            server.wait(requests[0])
            server.load(requests, CONNECTIONS, context.options.seconds)
            found = server.load(requests, CONNECTIONS, context.options.seconds)
            memory = server.memory_mb()
        if found["failed"] or found["broken"]:
            raise RuntimeError(f"{found['failed']:.0f} failed, {found['broken']:.0f} broken")
        return {**{name: found[name] for name in ("rate", "p50", "p99")}, "memory": memory}

    @contextmanager
    def _connected(self) -> Iterator[postgres.Connection]:
        with postgres.connect(self._database) as connection:
            yield connection


def make_older(connection: postgres.Connection) -> None:
    """Dates the loading of the month a week back, since a day's rows are always looked at again."""
    for table in VIEWS:
        name = sql.Identifier("source", table)
        connection.execute(
            sql.SQL(
                "ALTER TABLE {} ALTER loaded_at TYPE timestamptz"
                " USING loaded_at - interval '7 days'"
            ).format(name)
        )
        connection.execute(sql.SQL("ANALYZE {}").format(name))


def change_one_in_a_hundred(connection: postgres.Connection) -> None:
    """Changes a value of one user in a hundred in place, in each of the views' tables."""
    for table, column in VIEWS.items():
        connection.execute(
            sql.SQL(
                "UPDATE {table} SET {column} = {column} + 1, loaded_at = clock_timestamp()"
                " WHERE hashtext(user_id) % 100 = 0"
            ).format(table=sql.Identifier("source", table), column=sql.Identifier(column))
        )


def some_users(connection: postgres.Connection) -> list[str]:
    """Users at random, at most READ_USERS."""
    rows = connection.execute(
        "SELECT user_id FROM source.subscriptions_profile_snapshots"
        " WHERE hashtext(user_id) & 2147483647 < %s ORDER BY md5(user_id) LIMIT %s",
        [threshold(connection), READ_USERS],
    )
    return [user for (user,) in rows]


def threshold(connection: postgres.Connection) -> int:
    """The hash below which about twice READ_USERS of the users are."""
    row = connection.execute(
        "SELECT count(*) FROM source.subscriptions_profile_snapshots"
    ).fetchone()
    share = min(1.0, 2 * READ_USERS / max(1, row[0] if row else 1))
    return int(share * (2**31 - 1))
