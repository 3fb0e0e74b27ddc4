"""A refusal costs less than an answer, and is never one by a former catalog."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.postgres.pool import Pool
from api.reading.catalog_reader import VERSION
from api.tests.conftest import (
    assert_problem,
    metric,
    ready,
    rewrite,
    serving,
    statement,
    wait_until,
)
from streamflow.catalog.model import FIRST, READ, Catalog, Projection, Service

USER = "/features/7590-VHVEG"
OTHER = "0123456789abcdef"
ONLINE = "/get-online-features"
ENTITIES = {"user_id": ["7590-VHVEG"]}

Ask = Callable[[httpx.Client], httpx.Response]
KINDS: dict[str, tuple[int, Ask]] = {
    "contract in the header": (409, lambda c: c.get(USER, headers={"If-Contract": OTHER})),
    "contract in the query": (409, lambda c: c.get(f"{USER}?contract={OTHER}")),
    "contract of a batch": (
        409,
        lambda c: c.post(
            "/features", json={"user_ids": ["7590-VHVEG"]}, headers={"If-Contract": OTHER}
        ),
    ),
    "contract in Feast's protocol": (
        409,
        lambda c: c.post(
            ONLINE,
            json={"feature_service": "churn_v1", "entities": ENTITIES},
            headers={"If-Contract": OTHER},
        ),
    ),
    "service": (422, lambda c: c.get(f"{USER}?service=churn_v9")),
    "service of a batch": (
        422,
        lambda c: c.post("/features", json={"user_ids": ["a"], "service": "churn_v9"}),
    ),
    "view": (422, lambda c: c.get(f"{USER}?features=nothing_fv:n")),
    "feature": (422, lambda c: c.get(f"{USER}?features=subs_profile_fv:n")),
    "feature in Feast's protocol": (
        422,
        lambda c: c.post(ONLINE, json={"features": ["subs_profile_fv:n"], "entities": ENTITIES}),
    ),
    "other keys": (422, lambda c: c.get(f"{USER}?service=friends_v1")),
    "unservable": (422, lambda c: c.get(f"{USER}?service=risk_v1")),
    "contract of a service": (404, lambda c: c.get("/services/churn_v9")),
    "path": (404, lambda c: c.get("/nothing")),
    "method": (405, lambda c: c.delete(USER)),
}
kinds = pytest.mark.parametrize(("status", "ask"), KINDS.values(), ids=KINDS)


class Queries:
    """Counts the queries that requests cause; heartbeats and probes take another way."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[list[int]]:
        """A list that holds, after the block, the number of queries in it."""
        before, found = self.count, []
        yield found
        found.append(self.count - before)


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> Queries:
    """Counts queries from now on."""
    found, fetch = Queries(), Pool.fetch

    async def counting(self: Pool, query: str, arguments: Any, ends: float) -> Any:
        is_probe = self.limit == 1  # over a connection of its own
        found.count += not is_probe and query != READ  # which a lost connection causes
        return await fetch(self, query, arguments, ends)

    monkeypatch.setattr(Pool, "fetch", counting)
    return found


def quiet(client: httpx.Client) -> None:
    """Return when nothing but the test asks the database."""
    wait_until(lambda: ready(client))
    wait_until(lambda: metric(client, "streamflow_status_last_read_timestamp_seconds") > 0)


@pytest.fixture(scope="module")
def refusing(loaded: str) -> Iterator[httpx.Client]:
    """A server with a service that cannot be served and one with other keys.

    It looks for changes seldom.
    """

    def change(found: Catalog) -> Catalog:
        projection = Projection(
            "subs_profile_fv", "friend", {"user_id": "friend_id"}, ("months_active",)
        )
        further = {
            "risk_v1": Service("risk_v1", "", {}, (), "0" * 16, unservable="on demand"),
            "friends_v1": Service("friends_v1", "", {}, (projection,), "0" * 16),
        }
        return replace(found, services={**found.services, **further})

    rewrite(change)
    with serving(registry_refresh_s=1000, status_refresh_s=1000) as client:
        quiet(client)
        yield client


@kinds
def test_two_hundred_at_once_cost_a_handful_of_queries(
    refusing: httpx.Client, queries: Queries, status: int, ask: Ask
) -> None:
    with ThreadPoolExecutor(40) as threads, queries.counted() as cost:
        began = time.monotonic()
        answers = list(threads.map(lambda _: ask(refusing), range(200)))
        seconds = time.monotonic() - began
    assert {one.status_code for one in answers} == {status}
    assert cost[0] <= 6 + 10 * seconds


def test_a_stream_costs_so_many_queries_a_second_whatever_its_rate(
    refusing: httpx.Client, queries: Queries
) -> None:
    _, ask = KINDS["contract in the header"]
    with queries.counted() as cost:
        began = time.monotonic()
        for _ in range(600):
            assert ask(refusing).status_code == 409
        seconds = time.monotonic() - began
    assert cost[0] <= 6 + 10 * seconds
    assert cost[0] < 300  # also on a machine that takes its time


def test_names_that_nobody_asked_for_before_share_their_queries(
    refusing: httpx.Client, queries: Queries
) -> None:
    with ThreadPoolExecutor(40) as threads, queries.counted() as cost:
        began = time.monotonic()
        paths = [f"{USER}?service=guess_{number}" for number in range(200)]
        answers = list(threads.map(refusing.get, paths))
        seconds = time.monotonic() - began
    assert {one.status_code for one in answers} == {422}
    assert cost[0] <= 6 + 10 * seconds


def added(name: str) -> Callable[[Catalog], Catalog]:
    """Adds a service equal to churn_v1 to a catalog."""

    def change(found: Catalog) -> Catalog:
        service = replace(found.services["churn_v1"], name=name)
        return replace(found, services={**found.services, name: service})

    return change


@pytest.mark.parametrize("told", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_what_was_applied_is_served_at_once_while_others_are_refused(copy: str, told: bool) -> None:
    """The catalog is noticed even where the notification of the change is lost."""
    if not told:
        statement("ALTER TABLE ops.catalog DISABLE TRIGGER ALL")
    with serving() as client, ThreadPoolExecutor(4) as threads:
        quiet(client)
        is_over = threading.Event()
        _, outdated = KINDS["contract in the header"]

        def flood(_: int) -> set[int]:
            seen = set()
            while not is_over.is_set():
                seen.add(outdated(client).status_code)
            return seen

        flooding = [threads.submit(flood, number) for number in range(4)]
        try:
            for number in range(8):
                name = f"new_{number}_v1"
                rewrite(added(name))
                assert client.get(f"{USER}?service={name}").status_code == 200
        finally:
            is_over.set()
        assert [one.result() for one in flooding] == [{409}] * 4


def test_a_refusal_of_just_before_is_no_reason_for_another_one(copy: str) -> None:
    with serving() as client:
        quiet(client)
        for number in range(3):
            name = f"new_{number}_v1"
            assert client.get(f"{USER}?service={name}").status_code == 422
            assert client.get(f"/services/{name}").status_code == 404
            rewrite(added(name))
            assert client.get(f"/services/{name}").status_code == 200
            assert client.get(f"{USER}?service={name}").status_code == 200
            time.sleep(0.3)


@contextmanager
def unanswered(monkeypatch: pytest.MonkeyPatch, query: str) -> Iterator[threading.Event]:
    """Hold `query` in all pools until the event is set."""
    fetch, go_on = Pool.fetch, threading.Event()

    async def slow(self: Pool, asked: str, arguments: Any, ends: float) -> Any:
        while asked == query and not go_on.is_set():
            await asyncio.sleep(0.01)
        return await fetch(self, asked, arguments, ends)

    monkeypatch.setattr(Pool, "fetch", slow)
    try:
        yield go_on
    finally:
        go_on.set()


def test_refusals_that_wait_count_among_the_requests_that_may(
    copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = "streamflow_api_requests_waiting"
    with (
        serving(max_waiting=3) as client,
        unanswered(monkeypatch, VERSION.format(FIRST)) as go_on,
        ThreadPoolExecutor(3) as threads,
    ):
        quiet(client)
        asked = [threads.submit(client.get, f"{USER}?service=new_{at}") for at in range(3)]
        wait_until(lambda: metric(client, waiting) == 3)
        one_more = client.get(f"{USER}?service=new_3")
        assert_problem(one_more, 503, "not-ready", "too many requests are waiting")
        go_on.set()
        assert [one.result().status_code for one in asked] == [422] * 3
        assert metric(client, waiting) == 0


@pytest.mark.parametrize("way", ["GET", "POST", "online"])
@pytest.mark.parametrize("refused", ["contract", "service"])
def test_a_refusal_is_paid_for_as_an_answer(loaded: str, way: str, refused: str) -> None:
    service = "churn_v9" if refused == "service" else "churn_v1"
    headers = {"If-Contract": OTHER} if refused == "contract" else {}

    def ask(client: httpx.Client) -> int:
        if way == "GET":
            return client.get(f"{USER}?service={service}", headers=headers).status_code
        if way == "POST":
            body: dict[str, Any] = {"user_ids": ["7590-VHVEG"], "service": service}
            return client.post("/features", json=body, headers=headers).status_code
        body = {"feature_service": service, "entities": ENTITIES}
        return client.post(ONLINE, json=body, headers=headers).status_code

    status = 409 if refused == "contract" else 422
    with serving(rate_per_s=0.001, rate_burst=3) as client:
        wait_until(lambda: ready(client))
        assert [ask(client) for _ in range(5)] == [status] * 3 + [429] * 2
