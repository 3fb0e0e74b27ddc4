"""Features read from replicas: how far behind they are, and that no older one is answered."""

import time
from dataclasses import replace
from typing import Any

import pytest

from api.reading.notifications import Notifications
from api.tests.conftest import (
    TABLE,
    assert_problem,
    metric,
    ready,
    rewrite,
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
from api.tests.reading.test_standby import USER, Server
from streamflow.catalog.model import Catalog


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


async def no_echo(*_: Any) -> None:
    """In place of Notifications.send_echo."""


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
