"""Kept answers are what a read would give, and are given up before they are not."""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.postgres.session import Session
from api.reading.cache import STALENESS_S
from api.tests.conftest import (
    TABLE,
    assert_problem,
    held,
    metric,
    ready,
    serving,
    statement,
    wait_until,
)
from drills.proxy import Proxy

USERS = ["7590-VHVEG", "0002-ORFBO"]
COLUMN = '"subs_profile_fv:months_active"'
HITS, ENTRIES = "streamflow_api_cache_hits_total", "streamflow_api_cache_entries"
DROPPED = "streamflow_api_cache_invalidations_total"
LISTENING = "streamflow_api_listening"


def months(client: httpx.Client, user: str = USERS[0]) -> int:
    """The feature that the tests change."""
    response = client.get(f"/features/{user}")
    assert response.status_code == 200, response.text
    return int(response.json()["features"]["months_active"])


def write(value: int, user: str = USERS[0]) -> None:
    """Change that feature, in a transaction that is committed."""
    statement(f"UPDATE {TABLE} SET {COLUMN} = {value} WHERE user_id = '{user}'")


def without_ages(text: str) -> str:
    """An answer but for the ages, which go on between two of them."""
    return re.sub(r'"age_seconds":\d+', '"age_seconds":0', text)


@pytest.fixture
def client(copy: str) -> Iterator[httpx.Client]:
    """A server that keeps answers, in front of a database that a test may change."""
    with serving() as client:
        wait_until(lambda: ready(client) and metric(client, LISTENING) == 1)
        time.sleep(0.1)
        yield client


def test_an_answer_is_kept_and_given_again(client: httpx.Client) -> None:
    first = client.get("/features/7590-VHVEG")
    hits = metric(client, HITS)
    again = client.get("/features/7590-VHVEG")
    assert metric(client, HITS) == hits + 1
    assert without_ages(again.text) == without_ages(first.text)
    assert again.headers.keys() == first.headers.keys()
    assert metric(client, ENTRIES) == 1
    client.get("/features/7590-VHVEG?service=profile_v1")
    client.get("/features/0002-ORFBO")
    assert metric(client, ENTRIES) == 3


def test_kept_answers_are_the_very_bytes_that_a_read_gives(loaded: str) -> None:
    paths = [
        *(f"/features/{user}" for user in USERS),
        "/features/7590-VHVEG?service=profile_v1",
        "/features/7590-VHVEG?features=odd_fv:n,subs_profile_fv:months_active",
        "/features/Zo%C3%AB%20%F0%9F%8E%AC?features=odd_fv:n",
        "/features/nothing?features=odd_fv:n",
        "/features/7590-VHVEG?features=today_fv:score,yesterday_fv:score",
    ]
    with serving(cache_users=0) as reading, serving() as keeping:
        for client in (reading, keeping):
            wait_until(lambda client=client: ready(client))  # type: ignore[misc]
        time.sleep(0.6)
        for path in paths:
            keeping.get(path)
        compared = 0
        while compared < 3 * len(paths):
            path = paths[compared % len(paths)]
            before, kept, after = (one.get(path) for one in (reading, keeping, reading))
            if before.content == after.content:  # else an age went on meanwhile
                assert kept.content == before.content
                compared += 1
        assert metric(keeping, HITS) >= 3 * len(paths)
        assert metric(reading, HITS) == metric(reading, ENTRIES) == 0


def test_an_age_goes_on_while_the_answer_is_kept(client: httpx.Client) -> None:
    def age() -> int:
        views = client.get("/features/7590-VHVEG").json()["metadata"]["views"]
        return int(views["subs_profile_fv"]["age_seconds"])

    before = age()
    hits = metric(client, HITS)
    wait_until(lambda: age() > before, 5)
    assert metric(client, HITS) > hits
    assert metric(client, ENTRIES) == 1


def test_a_write_is_served_as_soon_as_it_is_told(client: httpx.Client) -> None:
    longest = 0.0
    for value in range(100, 130):
        assert months(client) != value
        write(value)
        longest = max(longest, wait_until(lambda value=value: months(client) == value, 1))  # type: ignore[misc]
    assert longest < 0.5


def test_a_write_to_another_table_leaves_answers_kept(client: httpx.Client) -> None:
    statement(
        'CREATE TABLE online."streamflow:other" (id int);'
        ' CREATE TRIGGER t AFTER INSERT ON online."streamflow:other"'
        " FOR EACH STATEMENT EXECUTE FUNCTION ops.notify_online()"
    )
    months(client)
    dropped = metric(client, DROPPED)
    statement('INSERT INTO online."streamflow:other" VALUES (1)')
    wait_until(lambda: metric(client, DROPPED) > dropped, 1)
    assert metric(client, ENTRIES) == 1
    write(5)
    wait_until(lambda: metric(client, ENTRIES) == 0, 1)


def test_what_is_read_while_others_write_is_not_kept(
    copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that was read before a write must not be kept after its notification."""
    with serving() as client, ThreadPoolExecutor(1) as threads:
        wait_until(lambda: ready(client))
        with held(monkeypatch, "7590-VHVEG") as go_on:
            reading = threads.submit(client.get, "/features/7590-VHVEG")
            wait_until(lambda: metric(client, "streamflow_api_requests_waiting") == 1)
            write(77)
            wait_until(lambda: metric(client, DROPPED) > 0, 1)
            go_on.set()
            assert reading.result().status_code == 200
        assert metric(client, ENTRIES) == 0


def test_an_unknown_user_is_not_kept(client: httpx.Client) -> None:
    assert_problem(client.get("/features/later"), 404, "unknown-user")
    assert_problem(client.get("/features/later"), 404, "unknown-user")
    assert metric(client, ENTRIES) == 0
    statement(
        f'INSERT INTO {TABLE} (user_id, "odd_fv@event_ts", "odd_fv:n") VALUES (\'later\', now(), 1)'
    )
    assert client.get("/features/later?features=odd_fv:n").status_code == 200


def test_no_more_answers_are_kept_than_may_be(copy: str) -> None:
    with serving(cache_users=10) as client:
        wait_until(lambda: ready(client) and metric(client, LISTENING) == 1)
        time.sleep(0.1)
        with psycopg.connect() as connection:
            rows = connection.execute(
                f'SELECT user_id FROM {TABLE} WHERE "subs_profile_fv@event_ts" IS NOT NULL LIMIT 30'  # type: ignore[call-overload]
            ).fetchall()
        users = [row[0] for row in rows]
        for user in users:
            assert client.get(f"/features/{user}").status_code == 200
        assert metric(client, ENTRIES) == 10
        hits = metric(client, HITS)
        for user in reversed(users[-10:]):
            client.get(f"/features/{user}")
        assert metric(client, HITS) == hits + 10


def end_listeners() -> int:
    """Ends the connections that listen, those of the reads stay; gives how many."""
    with psycopg.connect(autocommit=True) as connection:
        ended = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN %' AND pid <> pg_backend_pid()"
            " AND datname = current_database()"
        ).fetchone()
        return int(ended[0]) if ended else 0


def test_without_its_listener_nothing_is_kept_until_it_is_back(client: httpx.Client) -> None:
    for round_ in range(3):
        months(client)
        assert metric(client, ENTRIES) == 1
        assert end_listeners() == 1
        write(200 + round_)
        wait_until(lambda: metric(client, ENTRIES) == 0, 1)
        assert months(client) == 200 + round_
        wait_until(lambda: metric(client, LISTENING) == 1, 3)
        time.sleep(0.1)
        wait_until(lambda: months(client) > 0 and metric(client, ENTRIES) == 1, 1)
        write(300 + round_)
        wait_until(lambda round_=round_: months(client) == 300 + round_, 1)  # type: ignore[misc]


def test_what_was_read_while_nobody_listened_is_not_given_later(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen, go_on = Session.listen, threading.Event()

    async def held(self: Session, *arguments: Any) -> None:
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        await listen(self, *arguments)

    months(client)
    monkeypatch.setattr(Session, "listen", held)
    assert end_listeners() == 1
    wait_until(lambda: metric(client, LISTENING) == 0, 1)
    before = months(client)
    assert months(client) == before
    write(before + 1)
    go_on.set()
    wait_until(lambda: metric(client, LISTENING) == 1, 3)
    time.sleep(0.1)
    assert months(client) == before + 1


@pytest.fixture
def proxy(server: dict[str, str], copy: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy for the server's connections; the tests' own do not go through it."""
    with Proxy(server) as proxy:
        yield proxy


@pytest.fixture
def through(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], pytest.MonkeyPatch]:
    """Sends new connections of this process through the proxy, until it is undone."""

    def act() -> pytest.MonkeyPatch:
        patch = pytest.MonkeyPatch()
        patch.setenv("PGHOST", "127.0.0.1")
        patch.setenv("PGPORT", str(proxy.port))
        patch.setenv("STREAMFLOW_CONNECT_TIMEOUT_S", "1")
        return patch

    return act


@pytest.mark.slow
def test_answers_are_not_given_past_the_bound_when_the_network_falls_silent(
    proxy: Proxy, through: Callable[[], pytest.MonkeyPatch]
) -> None:
    patch = through()
    with serving(deadline_s=1) as client:
        wait_until(lambda: ready(client) and metric(client, LISTENING) == 1)
        time.sleep(0.2)
        before = months(client)
        patch.undo()
        proxy.fall_silent()
        write(before + 1)
        written = time.monotonic()
        last_old = written
        while time.monotonic() < written + 3:
            asked = time.monotonic()
            answer = client.get("/features/7590-VHVEG")
            if answer.status_code == 200 and answer.json()["features"]["months_active"] == before:
                last_old = asked
        assert 0.1 < last_old - written < STALENESS_S
        assert months(client) == before + 1


@pytest.mark.slow
@pytest.mark.parametrize("serve_stale", [True, False])
def test_while_the_database_is_away_kept_answers_are_given_if_that_is_wanted(
    proxy: Proxy, through: Callable[[], pytest.MonkeyPatch], serve_stale: bool
) -> None:
    patch = through()
    with serving(deadline_s=1, serve_stale=serve_stale, retry_s=0.2) as client:
        wait_until(lambda: ready(client) and metric(client, LISTENING) == 1)
        time.sleep(0.2)
        fresh = client.get("/features/7590-VHVEG").json()
        assert "source" not in fresh["metadata"]
        proxy.fall_silent()
        wait_until(lambda: not ready(client), 8)
        answer = client.get("/features/7590-VHVEG")
        if serve_stale:
            kept = answer.json()
            assert kept["features"] == fresh["features"]
            assert kept["metadata"].pop("source") == "cache"
            ages = [
                one["metadata"]["views"]["subs_profile_fv"]["age_seconds"] for one in (fresh, kept)
            ]
            assert ages[1] > ages[0]
            other = client.get("/features/7590-VHVEG", headers={"If-Contract": "0" * 16})
            assert_problem(other, 409, "contract-mismatch")
        else:
            assert_problem(answer, 503, "not-ready")
        assert_problem(client.get("/features/0002-ORFBO"), 503, "not-ready")
        assert_problem(client.get("/readyz"), 503, "not-ready")
        patch.undo()
        write(55)
        patch = through()
        proxy.answer_new()
        wait_until(lambda: ready(client), 8)
        patch.undo()
        assert months(client) == 55
        assert "source" not in client.get("/features/7590-VHVEG").json()["metadata"]


@pytest.mark.slow
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "write", "write", "read", "end", "wait"]), st.integers(0, 1)
        ),
        min_size=4,
        max_size=25,
    )
)
def test_no_read_begun_after_a_commit_and_the_bound_is_older(
    client: httpx.Client, steps: list[tuple[str, int]]
) -> None:
    """Writes, lost listeners and reads in any order; every write counts one up."""
    with psycopg.connect(autocommit=True) as connection:
        rows = connection.execute(
            f"SELECT user_id, {COLUMN} FROM {TABLE} WHERE user_id = ANY(%s)",  # type: ignore[call-overload]
            [USERS],
        ).fetchall()
    committed = {user: [(0.0, int(months))] for user, months in rows}

    def check(user: str) -> None:
        began = time.monotonic()
        seen = months(client, user)
        due = [value for moment, value in committed[user] if moment + STALENESS_S <= began]
        assert due[-1] <= seen <= committed[user][-1][1]

    for kind, number in steps:
        user = USERS[number]
        if kind == "write":
            value = committed[user][-1][1] + 1
            write(value, user)
            committed[user].append((time.monotonic(), value))
        elif kind == "end":
            end_listeners()
        elif kind == "wait":
            time.sleep(STALENESS_S / 4)
        for one in USERS:
            check(one)
    time.sleep(max(0, committed[user][-1][0] + STALENESS_S - time.monotonic()))
    for one in USERS:
        check(one)
