"""Features read from replicas: real hot standbys of a primary that goes on being written to."""

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psycopg
import pytest

from api.postgres.connect import connect
from api.postgres.pool import Pool
from api.postgres.session import Session, deadline
from api.reading.notifications import Notifications
from api.tests.conftest import (
    TABLE,
    assert_problem,
    metric,
    ready,
    rewrite,
    serving,
    statement,
    unready,
    wait_until,
)
from api.tests.reading.test_standby import COLUMN, USER, Server, another_cluster, backup, standby
from drills.pooler import Pooler
from streamflow.catalog.model import Catalog

FEATURE = f"/features/{USER}?features=subs_profile_fv:months_active"
LAG = "streamflow_api_replica_lag_seconds"
BOUND_S = 2


@pytest.fixture(scope="module")
def folder(databases: Any) -> Path:
    """The folder in which the tests' server has its data."""
    return Path(databases.FOLDER)


@pytest.fixture(scope="module")
def servers(
    folder: Path, server: dict[str, str], loaded: str
) -> Iterator[tuple[Server, Server, Server]]:
    """A primary with features and two hot standbys of it; PG* points at the primary."""
    with (
        backup(folder, {**server, "PGDATABASE": loaded}) as primary,
        standby(folder, primary[0]) as one,
        standby(folder, primary[0]) as other,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PGHOST", primary[0]["PGHOST"])
        at(primary, "ALTER SYSTEM SET autovacuum = off")
        for replica in (one, other):
            at(replica, "ALTER SYSTEM SET wal_retrieve_retry_interval = '200ms'")
        for each in (primary, one, other):
            at(each, "SELECT pg_reload_conf()")
        yield primary, one, other


def at(server: Server, sql: str, database: str = "") -> Any:
    """The first value that a query has on a server, None for a statement without rows."""
    where = server[0]
    with psycopg.connect(
        host=where["PGHOST"],
        port=where["PGPORT"],
        user=where["PGUSER"],
        dbname=database or os.environ["PGDATABASE"],
        autocommit=True,
    ) as connection:
        found = connection.execute(sql)  # type: ignore[call-overload]
        return found.fetchone()[0] if found.description else None


def reading(*replicas: Server, **settings: Any) -> Any:
    """The service with these replicas, as `serving` has it."""
    hosts = ",".join(one[0]["PGHOST"] for one in replicas)
    port = int(replicas[0][0]["PGPORT"])
    given = {"max_lag_s": BOUND_S, "retry_s": 0.2, "registry_refresh_s": 0.2, **settings}
    return serving(read_host=hosts, read_port=port, **given)


def wait_ready(client: httpx.Client, seconds: float = 20) -> None:
    """Wait until the service is ready; tells what it said last if that never comes."""
    ends = time.monotonic() + seconds
    while (response := client.get("/readyz")).status_code != 200:
        assert time.monotonic() < ends, response.text
        time.sleep(0.05)


def wait_replayed(primary: Server, replica: Server) -> None:
    """Wait until a replica has replayed what its primary has written by now."""
    written = at(primary, "SELECT pg_current_wal_flush_lsn() - '0/0'")
    wait_until(lambda: at(replica, "SELECT pg_last_wal_replay_lsn() - '0/0'") >= written)


def write(value: int) -> None:
    """Change the feature where PG* points."""
    statement(f"UPDATE {TABLE} SET {COLUMN} = {value} WHERE user_id = '{USER}'")


def read(client: httpx.Client) -> tuple[int, float]:
    """The feature, and by how many seconds the replica may be behind."""
    response = client.get(FEATURE)
    assert response.status_code == 200, response.text
    body = response.json()
    return body["features"]["months_active"], body["metadata"]["replica"]["lag_seconds"]


def test_features_are_read_from_a_standby_with_their_lag(
    servers: tuple[Server, Server, Server],
) -> None:
    _, one, _ = servers
    with reading(one) as client:
        wait_ready(client)
        write(21)
        wait_until(lambda: read(client)[0] == 21, BOUND_S)
        assert 0 <= read(client)[1] < BOUND_S
        batch = client.post("/features", json={"user_ids": [USER, "nobody"]}).json()
        assert 0 <= batch["metadata"]["replica"]["lag_seconds"] < BOUND_S
        asked = {"features": ["subs_profile_fv:months_active"], "entities": {"user_id": [USER]}}
        online = client.post("/get-online-features", json=asked)
        assert online.json()["results"][1]["values"] == [21]
        assert 0 <= float(online.headers["replica-lag"]) < BOUND_S
        assert 0 <= metric(client, LAG) < BOUND_S
        assert metric(client, "streamflow_api_replica_lag_limit_seconds") == BOUND_S
        assert metric(client, "streamflow_api_cache_entries") == 0


def test_an_idle_primary_makes_no_replica_look_late(servers: tuple[Server, Server, Server]) -> None:
    """Also where its log ended with a segment, so that the next record begins behind a header."""
    primary, one, _ = servers
    with reading(one) as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Notifications, "send_echo", no_echo)  # which writes to the log
        wait_ready(client)
        write(22)
        wait_until(lambda: at_rest(primary), 60)
        at_end = at(primary, "SELECT pg_current_wal_insert_lsn() - '0/0'")
        assert at(one, "SELECT pg_last_wal_replay_lsn() - '0/0'") < at_end
        value, lag_s = read(client)
        assert value == 22
        assert lag_s < 1.5
        assert ready(client)


def at_rest(primary: Server) -> bool:
    """True if a server that was told to begin another segment wrote nothing for a while then.

    What it does of its own, it does once in fifteen seconds.
    """
    at(primary, "SELECT pg_switch_wal()")
    before = at(primary, "SELECT pg_current_wal_insert_lsn()")
    time.sleep(2 * BOUND_S)
    return bool(at(primary, "SELECT pg_current_wal_insert_lsn()") == before)


def test_a_replica_that_falls_behind_is_refused_past_the_bound_until_it_has_caught_up(
    servers: tuple[Server, Server, Server],
) -> None:
    _, one, _ = servers
    with reading(one) as client:
        wait_ready(client)
        write(31)
        wait_until(lambda: read(client)[0] == 31)
        at(one, "SELECT pg_wal_replay_pause()")
        wait_until(lambda: at(one, "SELECT pg_get_wal_replay_pause_state()") == "paused")
        try:
            write(32)
            lags = []
            while (response := client.get(FEATURE)).status_code == 200:
                assert response.json()["features"]["months_active"] == 31
                lags.append(response.json()["metadata"]["replica"]["lag_seconds"])
                time.sleep(0.05)
            assert lags[0] < lags[-1] <= BOUND_S + 0.1
            assert lags[-1] > BOUND_S - 0.5
            late = "the replica may be more than 2 s behind the primary: 2."
            assert_problem(response, 503, "not-ready", late)
            batch = client.post("/features", json={"user_ids": [USER]})
            assert_problem(batch, 503, "not-ready", late[:-2])
            assert_problem(client.get("/readyz"), 503, "not-ready", late[:-2])
            wait_until(lambda: metric(client, "streamflow_api_ready") == 0)
            assert BOUND_S < metric(client, LAG) < BOUND_S + 10
        finally:
            at(one, "SELECT pg_wal_replay_resume()")
        wait_ready(client, 5)
        value, lag_s = read(client)
        assert (value, lag_s < BOUND_S) == (32, True)


def test_of_two_replicas_the_one_is_read_that_is_not_late(
    servers: tuple[Server, Server, Server],
) -> None:
    primary, one, other = servers
    with reading(one, other) as client:
        wait_ready(client)
        for each in (one, other):  # which may be cut off yet where a test stopped the primary
            wait_replayed(primary, each)
        number = 1000
        for late in (one, other):
            at(late, "SELECT pg_wal_replay_pause()")
            try:
                ends = time.monotonic() + BOUND_S + 1
                while time.monotonic() < ends:
                    write(number := number + 1)
                    value, lag_s = read(client)
                    assert lag_s <= BOUND_S + 0.1
                    assert value <= number
                wait_until(lambda: read(client)[0] == number, 1)
                assert ready(client)
            finally:
                at(late, "SELECT pg_wal_replay_resume()")


def test_a_change_of_the_catalog_that_a_replica_has_not_got_yet_is_waited_for(
    servers: tuple[Server, Server, Server],
) -> None:
    """No answer by another catalog, and no error of ours: 503 until the replica has it."""
    _, one, _ = servers
    table = TABLE.removeprefix("online.")
    with reading(one, max_lag_s=60) as client:
        wait_ready(client)
        write(51)
        wait_until(lambda: read(client)[0] == 51)
        at(one, "SELECT pg_wal_replay_pause()")
        wait_until(lambda: at(one, "SELECT pg_get_wal_replay_pause_state()") == "paused")
        try:
            rewrite(moved, f'ALTER TABLE {TABLE} RENAME TO "moved"')
            wait_until(lambda: client.get(FEATURE).status_code == 503)
            answer = client.get(FEATURE)
            assert_problem(answer, 503, "not-ready", "not got the last change of the features yet")
        finally:
            at(one, "SELECT pg_wal_replay_resume()")
            try:
                wait_until(lambda: client.get(FEATURE).status_code == 200)
                assert read(client)[0] == 51
            finally:
                rewrite(moved_back, f"ALTER TABLE online.moved RENAME TO {table}")
        wait_until(lambda: client.get(FEATURE).status_code == 200)
        assert read(client)[0] == 51


def moved(catalog: Catalog) -> Catalog:
    """The catalog with the table of this module under another name."""
    return renamed(catalog, TABLE.removeprefix("online.").strip('"'), "moved")


def moved_back(catalog: Catalog) -> Catalog:
    """The catalog with the table's own name."""
    return renamed(catalog, "moved", TABLE.removeprefix("online.").strip('"'))


def renamed(catalog: Catalog, before: str, after: str) -> Catalog:
    """A catalog whose views read another table."""
    views = {
        name: replace(view, table=after) if view.table == before else view
        for name, view in catalog.views.items()
    }
    return replace(catalog, views=views)


async def no_echo(*_: Any) -> None:
    """In place of Notifications.send_echo."""


def test_while_the_primary_is_away_answers_go_on_up_to_the_bound(
    servers: tuple[Server, Server, Server],
) -> None:
    primary, one, other = servers
    with reading(one, other, max_lag_s=4) as client:
        wait_ready(client)
        write(61)
        wait_until(lambda: read(client)[0] == 61)
        primary[1]("stop")
        try:
            began, codes = time.monotonic(), []
            while (response := client.get(FEATURE)).status_code == 200:
                assert response.json()["features"]["months_active"] == 61
                codes.append(time.monotonic() - began)
                time.sleep(0.05)
            assert 2 < codes[-1] < 4.5
            assert_problem(response, 503, "not-ready", "more than 4 s behind")
            assert_problem(client.get("/readyz"), 503, "not-ready", "more than 4 s behind")
        finally:
            primary[1]("start")
        wait_ready(client)
        write(62)
        wait_until(lambda: read(client)[0] == 62)


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
    """What is promoted has split off from the primary, and is no replica of it any more."""
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
    """What was promoted is the primary as soon as the primary's address leads there."""
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
            wait_ready(client)
            write(92)
            assert read(client) == (92, 0.0)
        finally:
            primary[1]("start")
