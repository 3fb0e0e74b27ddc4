"""Requests that come together share a query, and nothing but it."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from api.plans.plan import Plan
from api.reading.batch import Reads
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

QUERIES = "streamflow_api_queries_total"
WAITING = "streamflow_api_requests_waiting"


@pytest.fixture
def client(copy: str) -> Iterator[httpx.Client]:
    """A server that keeps no answers."""
    with serving(cache_users=0) as client:
        wait_until(lambda: ready(client))
        yield client


def test_what_is_asked_while_queries_are_under_way_goes_in_one_more(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = ["7590-VHVEG", "0002-ORFBO", "nobody", "7590-VHVEG", "a/b", "7590-VHVEG"] * 3
    with ThreadPoolExecutor(30) as threads:
        before = metric(client, QUERIES)
        with held(monkeypatch, "slow") as go_on:
            # Two queries may be under way; both wait for the same user.
            slow = [threads.submit(client.get, "/features/slow")]
            wait_until(lambda: metric(client, QUERIES) == before + 1)
            slow.append(threads.submit(client.get, "/features/slow"))
            wait_until(lambda: metric(client, QUERIES) == before + 2)
            answers = [threads.submit(client.get, f"/features/{user}") for user in users]
            wait_until(lambda: metric(client, WAITING) == 20)
            go_on.set()
            found = [answer.result() for answer in answers]
        assert metric(client, QUERIES) == before + 3
    assert [one.result().status_code for one in slow] == [404, 404]
    for user, answer in zip(users, found, strict=True):
        if user in ("nobody", "a/b"):
            assert_problem(answer, 404, "unknown-user", repr(user))
        else:
            assert answer.json()["features"]["user_id"] == user
            assert answer.json()["features"]["months_active"] in (1, 9)


def test_other_selections_do_not_wait_for_it(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(3) as threads, held(monkeypatch, "slow") as go_on:
        slow = []
        for number in (1, 2, 3):
            slow.append(threads.submit(client.get, "/features/slow"))
            wait_until(lambda number=number: metric(client, WAITING) == number)  # type: ignore[misc]
        began = time.monotonic()
        assert client.get("/features/7590-VHVEG?service=profile_v1").status_code == 200
        assert client.post("/features", json={"user_ids": ["7590-VHVEG"]}).status_code == 200
        assert time.monotonic() - began < 5  # the slow ones are held until later
        go_on.set()
        assert [one.result().status_code for one in slow] == [404] * 3


def test_a_value_that_cannot_be_written_fails_its_own_user_alone(
    copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Reads.entry

    def broken(self: Reads, plan: Plan, row: Any, key: Any, now: int) -> Any:
        if key == "0002-ORFBO":
            raise RuntimeError("no such value")
        return entry(self, plan, row, key, now)

    monkeypatch.setattr(Reads, "entry", broken)
    users = ["7590-VHVEG", "0002-ORFBO"] * 10
    with serving(cache_users=0) as client, ThreadPoolExecutor(20) as threads:
        wait_until(lambda: ready(client))
        answers = list(threads.map(lambda user: client.get(f"/features/{user}"), users))
    assert [one.status_code for one in answers] == [200, 500] * 10


@pytest.mark.slow
def test_a_request_whose_time_is_over_takes_no_other_with_it(
    copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        serving(cache_users=0, deadline_s=3) as client,
        ThreadPoolExecutor(4) as threads,
    ):
        wait_until(lambda: ready(client))
        before = metric(client, QUERIES)
        with held(monkeypatch, "slow"):
            slow = []
            for number in (1, 2):  # as many queries as may be under way
                slow.append(threads.submit(client.get, "/features/slow"))
                wait_until(lambda number=number: metric(client, QUERIES) == before + number)  # type: ignore[misc]
            time.sleep(1.5)
            waiting = threads.submit(client.get, "/features/7590-VHVEG")
            for one in slow:
                assert_problem(one.result(), 503, "not-ready", "did not answer in time")
            assert waiting.result().status_code == 200


@pytest.fixture
def latin(
    databases: Any,
    server: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """The name of an applied database whose encoding has not all characters."""
    from jobs.apply.apply import apply

    name = f"test_{os.getpid()}_latin1"
    with databases.admin(server) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'").format(
                sql.Identifier(name)
            )
        )
    for variable, value in {**server, "PGDATABASE": name}.items():
        monkeypatch.setenv(variable, value)
    try:
        apply()
        yield name
    finally:
        with databases.admin(server) as connection:
            databases.drop(connection, name)


def test_an_id_that_the_database_cannot_hold_is_unknown_and_fails_nobody(latin: str) -> None:
    statement(f"INSERT INTO {TABLE} (user_id, \"subs_profile_fv@event_ts\") VALUES ('Zoe', now())")
    paths = ["/features/Zoe", "/features/%F0%9F%8E%AC"] * 10
    with serving(cache_users=0) as client, ThreadPoolExecutor(20) as threads:
        wait_until(lambda: ready(client))
        answers = list(threads.map(client.get, paths))
        assert [one.status_code for one in answers] == [200, 404] * 10
        body = client.post("/features", json={"user_ids": ["Zoe", "🎬"]})
        assert body.status_code == 200
        assert body.json()["unknown"] == ["🎬"]


def test_the_id_of_another_entity_is_what_its_column_holds(rich: str) -> None:
    with serving(join_key="shop_id", service="shops_v2") as client:
        features = {"features": ["shop_fv:city"]}
        wait_until(lambda: client.get("/features/1", params=features).status_code == 200)
        for _ in range(2):
            body = client.get("/features/1", params=features).json()
            assert (body["user_id"], body["features"]) == ("1", {"shop_id": 1, "city": "Bonn"})
        lowest = client.get(f"/features/{-(2**63)}", params=features).json()
        assert lowest["features"] == {"shop_id": -(2**63), "city": ""}
        users = {"user_ids": ["2", "01", "7"], **features}
        many = client.post("/features", json=users).json()
        assert [one["features"]["shop_id"] for one in many["results"]] == [2, 1]
        assert many["unknown"] == ["7"]
        for wrong in ("one", "1.0", "1e3", "--1", "٣", str(2**63), " 1"):
            response = client.get(f"/features/{wrong}", params=features)
            assert_problem(response, 422, "invalid-request", "path.user_id: ")
        wrong_users = {"user_ids": ["1", "x"], **features}
        response = client.post("/features", json=wrong_users)
        assert_problem(response, 422, "invalid-request", "body.user_ids.1: should be a whole")
        response = client.get("/features/1?features=subs_profile_fv:months_active")
        assert_problem(response, 422, "other-keys", "found by user_id, not by shop_id alone")


def test_a_large_answer_is_whole(copy: str) -> None:
    long = "x" * 5_000_000
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(
            f'UPDATE {TABLE} SET "subs_profile_fv:net_service" = %s WHERE user_id = %s',  # type: ignore[call-overload]
            [long, "7590-VHVEG"],
        )
    with serving() as client:
        wait_until(lambda: ready(client))
        for _ in range(2):
            assert client.get("/features/7590-VHVEG").json()["features"]["net_service"] == long
