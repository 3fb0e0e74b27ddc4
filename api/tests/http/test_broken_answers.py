"""A database that is slow, read-only, elsewhere in time or without connections: right or 503."""

import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from api.tests.conftest import assert_problem, ready, serving, statement, wait_until
from drills.proxy import Proxy
from drills.results import Result, choose, record

USER = "/features/7590-VHVEG"
SLOW_S = 5
MARGIN_S = 2
"""Seconds that a busy machine adds to a deadline."""


def answers(client: httpx.Client) -> list[str]:
    """The answers, without ages, which go on, and the requests' ids."""
    found = [
        client.get(USER).text,
        client.post("/features", json={"user_ids": ["7590-VHVEG", "0002-ORFBO", "x"]}).text,
        client.post(
            "/get-online-features",
            json={"entities": {"user_id": ["7590-VHVEG"]}, "feature_service": "churn_v1"},
        ).text,
    ]
    return [re.sub(r'"age_seconds":\d+', "", one) for one in found]


@pytest.mark.slow
def test_a_database_that_takes_five_seconds_for_everything(
    copy: str,
) -> None:
    """No request takes longer than the deadline: it has its answer by then, or a 503."""
    deadline_s, seconds = 10, list[float]()
    with Proxy(os.environ) as slow, pytest.MonkeyPatch.context() as patch:
        for name, value in slow.environment.items():
            patch.setenv(name, value)
        with serving(cache_users=0, deadline_s=deadline_s) as client:
            wait_until(lambda: ready(client))
            expected = answers(client)
            slow.delay_s = SLOW_S

            def ask(_: int) -> httpx.Response:
                began = time.monotonic()
                answer = client.get(USER)
                seconds.append(time.monotonic() - began)
                return answer

            with ThreadPoolExecutor(8) as threads:
                asked = [threads.submit(ask, number) for number in range(choose(8, 40))]
                began = time.monotonic()
                assert client.get("/livez").status_code == 200
                assert time.monotonic() - began < MARGIN_S
            for answer in (one.result() for one in asked):
                if answer.status_code != 200:
                    assert_problem(answer, 503, "not-ready")
            assert max(seconds) < deadline_s + MARGIN_S
            slow.delay_s = 0
            recovered = wait_until(lambda: answers(client) == expected)
    refused = sum(one.result().status_code != 200 for one in asked)
    load = f"`GET {USER.partition('7')[0]}…` from 8 threads; {refused} answered 503 in time"
    record(Result("database takes 5 s for everything", load, len(asked), 0, recovered, 0))


def test_a_read_only_database_is_read(copy: str) -> None:
    with serving(cache_users=0) as client:
        wait_until(lambda: ready(client))
        expected = answers(client)
        with psycopg.connect(dbname="postgres", autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {copy} SET default_transaction_read_only = on")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [copy]
            )
        assert answers(client) == expected
    with serving(cache_users=0) as client:
        wait_until(lambda: ready(client))
        assert answers(client) == expected
    record(Result("read-only database", "the API", 6, 0, None, 0))


@pytest.fixture
def limited(copy: str) -> Iterator[str]:
    """A role that may read everything and is no superuser, whose connections are counted."""
    role = f"{copy}_limited"
    statement(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0; GRANT postgres TO {role}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGUSER", role)
        yield role
    statement(f"DROP ROLE {role}")


def test_an_api_without_any_connection_is_ready_as_soon_as_there_are_some(
    limited: str, server: dict[str, str]
) -> None:
    def allow(connections: int) -> None:
        with psycopg.connect(user=server["PGUSER"]) as admin:
            admin.execute(f"ALTER ROLE {limited} CONNECTION LIMIT {connections}")

    with serving(cache_users=0) as client:
        wait_until(lambda: client.get("/readyz").status_code == 503)
        assert_problem(client.get(USER), 503, "not-ready")
        assert client.get("/livez").status_code == 200
        allow(-1)
        recovered = wait_until(lambda: client.get(USER).status_code == 200)
    record(Result("connections exhausted", "the API", 2, 0, recovered, 0))


@pytest.mark.parametrize(
    ("client_zone", "server_zone"),
    [("Asia/Kathmandu", "America/St_Johns"), ("America/St_Johns", "Asia/Kathmandu")],
)
def test_time_zones_change_no_answer(
    copy: str, client_zone: str, server_zone: str, zone: Any
) -> None:
    with serving(cache_users=0) as client:
        wait_until(lambda: ready(client))
        expected = answers(client)
    statement(f"ALTER DATABASE {copy} SET TimeZone = '{server_zone}'")
    zone(client_zone)
    with serving(cache_users=0) as client:
        wait_until(lambda: ready(client))
        assert answers(client) == expected
    record(Result("time zones of client and server", "the API", 3, 0, None, 0))


@pytest.fixture
def zone() -> Iterator[Any]:
    """Sets this process's time zone, and the one that it asks of PostgreSQL."""
    with pytest.MonkeyPatch.context() as patch:

        def change(name: str) -> None:
            patch.setenv("TZ", name)
            patch.setenv("PGTZ", name)
            time.tzset()

        yield change
    time.tzset()
