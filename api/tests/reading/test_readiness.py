"""/readyz is a real read that began after it was asked for, and one for all who ask at once."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api.postgres.session import Session
from api.reading.readiness import why_not_there
from api.tests.conftest import (
    TABLE,
    assert_problem,
    metric,
    ready,
    serving,
    statement,
    unready,
    wait_until,
)

PROBE = "nobody"


class Probes:
    """Counts the probes of readiness, and holds their results back while `go_on` is not set."""

    def __init__(self) -> None:
        self.begun = self.waiting = 0
        self.go_on = threading.Event()
        self.go_on.set()


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Probes]:
    """Probes are counted from now on, and can be held."""
    found, fetch = Probes(), Session.fetch

    async def watched(self: Session, query: str, arguments: Any, ends: float) -> Any:
        if not (arguments and PROBE in arguments[0]):
            return await fetch(self, query, arguments, ends)
        found.begun += 1
        try:
            return await fetch(self, query, arguments, ends)
        finally:
            while not found.go_on.is_set():
                await asyncio.sleep(0.01)

    monkeypatch.setattr(Session, "fetch", watched)
    yield found
    found.go_on.set()


def ask_at_once(client: httpx.Client, count: int) -> list[httpx.Response]:
    """The answers of so many requests, all under way at the same time."""

    async def ask() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(
            base_url=client.base_url, limits=limits, timeout=30
        ) as requests:
            return await asyncio.gather(*(requests.get("/readyz") for _ in range(count)))

    return asyncio.run(ask())


@pytest.mark.slow
def test_hundreds_who_ask_during_a_probe_share_the_next(copy: str, probes: Probes) -> None:
    with (
        serving(max_waiting=5, registry_refresh_s=1000) as client,
        ThreadPoolExecutor(2) as threads,
    ):
        wait_until(lambda: metric(client, "streamflow_api_ready") == 1)
        before = probes.begun
        probes.go_on.clear()
        first = threads.submit(client.get, "/readyz")
        wait_until(lambda: probes.begun > before)
        others = threads.submit(ask_at_once, client, 300)
        wait_until(lambda: in_flight(client) > 301)  # with the one that asks for the metrics
        probes.go_on.set()
        assert {one.status_code for one in (first.result(), *others.result())} == {200}
        assert probes.begun - before == 2


def in_flight(client: httpx.Client) -> float:
    """Number of requests that are being answered."""
    return metric(client, "streamflow_api_requests_in_flight")


def test_nobody_is_told_of_a_probe_that_began_before(copy: str, probes: Probes) -> None:
    with serving(registry_refresh_s=1000) as client, ThreadPoolExecutor(2) as threads:
        wait_until(lambda: ready(client))
        before = probes.begun
        probes.go_on.clear()
        first = threads.submit(client.get, "/readyz")
        wait_until(lambda: probes.begun > before)
        statement(f"ALTER TABLE {TABLE} RENAME TO elsewhere")
        second = threads.submit(client.get, "/readyz")
        wait_until(lambda: in_flight(client) > 2)
        probes.go_on.set()
        assert first.result().status_code == 200
        assert_problem(second.result(), 503, "not-ready", "online tables are not there yet")


def test_a_stream_of_questions_costs_so_many_probes_a_second(copy: str, probes: Probes) -> None:
    with serving(registry_refresh_s=1000) as client, ThreadPoolExecutor(8) as threads:
        wait_until(lambda: ready(client))
        before, began = probes.begun, time.monotonic()
        answers = list(threads.map(lambda _: client.get("/readyz"), range(200)))
        seconds = time.monotonic() - began
        assert {one.status_code for one in answers} == {200}
        assert probes.begun - before <= 21 + 20 * seconds


def test_who_waits_for_a_silent_database_is_told_so_by_the_deadline(
    copy: str, probes: Probes
) -> None:
    with serving(deadline_s=0.5, registry_refresh_s=1000) as client:
        wait_until(lambda: ready(client))
        probes.go_on.clear()
        try:
            with ThreadPoolExecutor(2) as threads:
                answers = list(threads.map(lambda _: client.get("/readyz"), range(2)))
        finally:
            probes.go_on.set()
        for answer in answers:
            assert_problem(answer, 503, "not-ready", "did not answer in time")
        wait_until(lambda: ready(client))


def test_a_default_service_that_is_not_there_is_told_with_those_that_are(copy: str) -> None:
    with serving(service="gone_v1") as client:
        wait_until(unready(client, "The registry has no feature service gone_v1; it has "))


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ((), "the registry has no feature service churn_v1"),
        (
            ("a_v1", "b_v1"),
            "the registry has no feature service churn_v1; it has a_v1, b_v1;"
            " STREAMFLOW_API_SERVICE names the one that answers by default",
        ),
    ],
)
def test_of_several_services_the_setting_names_one(services: tuple[str, ...], said: str) -> None:
    assert why_not_there("churn_v1", services, is_set=False) == said
