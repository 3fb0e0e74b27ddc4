"""More is asked than the database can answer, or it takes its time."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from api.tests.conftest import (
    TABLE,
    assert_problem,
    held,
    metric,
    ready,
    serving,
    wait_until,
)

USER = "/features/7590-VHVEG"
WAITING = "streamflow_api_requests_waiting"


def test_readiness_answers_while_all_connections_read(
    copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_POOL_SIZE", "3")
    with held(monkeypatch, "slow") as go_on, serving() as client, ThreadPoolExecutor(9) as threads:
        wait_until(lambda: ready(client))
        slow = [
            threads.submit(client.post, "/features", json={"user_ids": ["slow", "7590-VHVEG"]})
            for _ in range(2)
        ]
        wait_until(lambda: metric(client, WAITING) == 2)
        others = [threads.submit(client.get, USER) for _ in range(5)]
        wait_until(lambda: metric(client, WAITING) == 7)
        assert ready(client)
        assert client.get("/livez").status_code == 200
        go_on.set()
        assert [one.result().status_code for one in slow + others] == [200] * 7


def test_a_request_that_waits_too_long_for_its_turn_is_told_so(
    copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_POOL_SIZE", "2")
    with (
        held(monkeypatch, "slow", past_deadline=True) as go_on,
        serving(deadline_s=1) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        wait_until(lambda: ready(client))
        hanging = threads.submit(client.get, "/features/slow")
        wait_until(lambda: metric(client, WAITING) == 1)
        users = {"user_ids": ["7590-VHVEG"]}
        began = time.monotonic()
        assert_problem(
            client.post("/features", json=users), 503, "not-ready", "did not answer in time"
        )
        assert time.monotonic() - began < 5
        assert_problem(hanging.result(), 503, "not-ready", "did not answer in time")
        go_on.set()
        assert client.get(USER).status_code == 200
        assert ready(client)


def test_more_requests_than_may_wait_are_refused_at_once(
    copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        held(monkeypatch, "slow") as go_on,
        serving(max_waiting=3) as client,
        ThreadPoolExecutor(3) as threads,
    ):
        wait_until(lambda: ready(client))
        waiting = [threads.submit(client.get, "/features/slow") for _ in range(3)]
        wait_until(lambda: metric(client, WAITING) == 3)
        began = time.monotonic()
        for answer in (client.get(USER), client.post("/features", json={"user_ids": ["me"]})):
            assert_problem(answer, 503, "not-ready", "too many requests are waiting")
        assert time.monotonic() - began < 5  # the deadline is ten
        assert ready(client)
        go_on.set()
        assert [one.result().status_code for one in waiting] == [404] * 3
        assert client.get(USER).status_code == 200


def test_a_table_that_is_locked_holds_no_request_longer_than_its_deadline(copy: str) -> None:
    with serving(deadline_s=1, cache_users=0) as client, psycopg.connect() as connection:
        wait_until(lambda: ready(client))
        connection.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")  # type: ignore[call-overload]
        began = time.monotonic()
        assert_problem(client.get(USER), 503, "not-ready", "did not answer in time")
        assert 0.9 < time.monotonic() - began < 5
        connection.rollback()
        assert client.get(USER).status_code == 200
        wait_until(lambda: ready(client), 5)
