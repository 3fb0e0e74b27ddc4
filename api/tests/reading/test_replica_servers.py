"""Which servers are read as replicas: who else answers at their address, dies or is promoted."""

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from api.postgres.connect import connect
from api.postgres.pool import Pool
from api.postgres.session import Session, deadline
from api.tests.conftest import (
    TABLE,
    assert_problem,
    metric,
    unready,
    wait_until,
)
from api.tests.reading.replica_servers import (
    BOUND_S,
    FEATURE,
    LAG,
    at,
    read,
    reading,
    wait_ready,
    wait_replayed,
    write,
)
from api.tests.reading.test_standby import COLUMN, USER, Server, another_cluster, standby
from drills.pooler import Pooler


def test_the_primary_itself_is_no_second_behind(servers: tuple[Server, Server, Server]) -> None:
    primary, _, _ = servers
    with reading(primary) as client:
        wait_ready(client)
        for value in (71, 72):
            write(value)
            assert read(client) == (value, 0.0)
        wait_until(lambda: metric(client, LAG) == 0)


def test_a_server_of_another_cluster_is_no_replica(
    servers: tuple[Server, Server, Server], folder: Path
) -> None:
    with another_cluster(folder) as strange, reading(strange) as client:
        at(strange, f'CREATE DATABASE "{os.environ["PGDATABASE"]}"', database="postgres")
        wait_until(unready(client, "The replica is not one of this database."))
        assert_problem(client.get(FEATURE), 503, "not-ready", "not one of this database")


def test_where_one_replica_dies_and_the_other_is_promoted(
    servers: tuple[Server, Server, Server], folder: Path
) -> None:
    """One that is promoted has split off from the primary, and is no replica of it any more."""
    primary, _, other = servers
    with standby(folder, primary[0]) as one, reading(one, other) as client:
        wait_ready(client)
        other[1]("stop", "--mode=immediate")
        try:
            for number in range(80, 100):
                write(number)
                read(client)
            wait_until(lambda: read(client)[0] == 99)
            one[1]("promote")
            wait_until(lambda: client.get(FEATURE).status_code == 503, 1)
            at(one, f"UPDATE {TABLE} SET {COLUMN} = 100 WHERE user_id = '{USER}'")
            split = "takes writes, and is another server than the primary"
            assert_problem(client.get(FEATURE), 503, "not-ready", split)
            wait_until(unready(client, split), 1)
        finally:
            other[1]("start")
        wait_ready(client)
        assert [read(client)[0] for _ in range(20)] == [99] * 20


def test_a_read_that_was_in_the_way_of_replaying_is_made_again(
    servers: tuple[Server, Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, one, _ = servers
    at(one, "ALTER SYSTEM SET max_standby_streaming_delay = 0")
    at(one, "SELECT pg_reload_conf()")
    at(primary, "CREATE TABLE IF NOT EXISTS public.passing AS SELECT generate_series(1, 1000) AS n")
    wait_replayed(primary, one)
    monkeypatch.setenv("PGHOST", one[0]["PGHOST"])
    slow = "SELECT count(*), pg_sleep(0.7) FROM public.passing"
    sleeping = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query = '" + slow + "'"

    async def read_meanwhile() -> tuple[int, list[str]]:
        caught: list[str] = []
        fetched = Session.fetch

        async def noting(self: Session, query: str, *arguments: Any) -> Any:
            try:
                return await fetched(self, query, *arguments)
            except asyncpg.PostgresError as error:
                caught.append(str(error))
                raise

        monkeypatch.setattr(Session, "fetch", noting)
        pool = Pool(2, partial(connect, 5, 5))
        try:
            began = asyncio.create_task(pool.fetch(slow, (), deadline(10)))
            await asyncio.sleep(0.2)
            assert at(one, sleeping)
            at(primary, "DELETE FROM public.passing")
            at(primary, "VACUUM public.passing")
            [row] = await began
            return row[0], caught
        finally:
            pool.close()

    try:
        count, caught = asyncio.run(read_meanwhile())
    finally:
        at(one, "ALTER SYSTEM RESET max_standby_streaming_delay")
        at(one, "SELECT pg_reload_conf()")
    assert count == 0
    assert [one.splitlines()[0] for one in caught] == [
        "canceling statement due to conflict with recovery"
    ]


def test_a_pooler_is_no_replica(
    servers: tuple[Server, Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may give each query another server, so that none proves what the next one has."""
    _, one, _ = servers
    with Pooler({**one[0], "PGDATABASE": os.environ["PGDATABASE"]}, size=2) as pooler:
        where = {"PGHOST": pooler.environment["PGHOST"], "PGPORT": pooler.environment["PGPORT"]}
        with reading((where, one[1])) as client:
            wait_until(unready(client, "leads to another server with each query"))


def test_the_primary_may_be_behind_a_pooler(
    servers: tuple[Server, Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, one, _ = servers
    with Pooler({**primary[0], "PGDATABASE": os.environ["PGDATABASE"]}, size=3) as pooler:
        for name, value in pooler.environment.items():
            monkeypatch.setenv(name, value)
        with reading(one) as client:
            wait_ready(client)
            write(25)
            wait_until(lambda: read(client)[0] == 25)
            assert read(client)[1] < BOUND_S


def test_servers_that_do_not_tell_who_they_are_are_refused(
    servers: tuple[Server, Server, Server],
) -> None:
    primary, one, _ = servers
    reader = "hidden_reader"
    hide = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"
    at(primary, f"CREATE ROLE {reader} LOGIN IN ROLE pg_read_all_data")
    at(primary, hide)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PGUSER", reader)
            with reading(one) as client:
                wait_until(unready(client, "does not tell which one it is"))
                at(primary, hide.replace("REVOKE", "GRANT").replace("FROM", "TO"))
                wait_ready(client)
    finally:
        at(primary, hide.replace("REVOKE", "GRANT").replace("FROM", "TO"))
        at(primary, f"DROP ROLE {reader}")


def test_a_failover_to_a_replica_is_followed(
    servers: tuple[Server, Server, Server], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promoted server is the primary as soon as the primary's address leads there."""
    primary, _, _ = servers
    with standby(folder, primary[0]) as one, reading(one, max_lag_s=60) as client:
        wait_ready(client)
        write(91)
        wait_until(lambda: read(client)[0] == 91)
        primary[1]("stop")
        try:
            one[1]("promote")
            wait_until(lambda: client.get(FEATURE).status_code == 503, 1)
            monkeypatch.setenv("PGHOST", one[0]["PGHOST"])
            # /readyz may say for PROVED_FOR_S more what its own connection had proved before.
            wait_until(lambda: client.get(FEATURE).status_code == 200)
            wait_ready(client)
            write(92)
            assert read(client) == (92, 0.0)
        finally:
            primary[1]("start")
