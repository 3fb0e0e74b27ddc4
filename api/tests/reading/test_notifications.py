"""No kept answer is given once notifications do not arrive, whatever else does."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from api.postgres.session import Session
from api.reading.cache import STALENESS_S
from api.reading.notifications import ECHO
from api.tests.conftest import TABLE, metric, ready, serving, statement, wait_until
from api.tests.postgres.proxy import DeafProxy

USER = "7590-VHVEG"
COLUMN = '"subs_profile_fv:months_active"'
HITS, ENTRIES = "streamflow_api_cache_hits_total", "streamflow_api_cache_entries"
LISTENING = "streamflow_api_listening"


@contextmanager
def behind(proxy: DeafProxy, **settings: Any) -> Iterator[httpx.Client]:
    """A server whose connections go through the proxy, as all do that PG* lead to meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in proxy.environment.items():
            patch.setenv(name, value)
        with serving(**settings) as client:
            wait_until(lambda: ready(client))
            wait_until(lambda: metric(client, LISTENING) == 1 or proxy.drops or proxy.late_s > 1)
            yield client


def months(client: httpx.Client) -> int:
    """The feature that the tests change."""
    response = client.get(f"/features/{USER}")
    assert response.status_code == 200, response.text
    return int(response.json()["features"]["months_active"])


def write(value: int) -> float:
    """Change that feature; returns the moment after which no answer may be from before."""
    statement(f"UPDATE {TABLE} SET {COLUMN} = {value} WHERE user_id = '{USER}'")
    return time.monotonic() + STALENESS_S


def last_old(client: httpx.Client, old: int, until: float) -> float:
    """The moment, before `until`, at which the last request was sent that got `old`."""
    last = 0.0
    while (asked := time.monotonic()) < until:
        if months(client) == old:
            last = asked
    return last


def assert_bound(client: httpx.Client, value: int) -> None:
    """Write another value than `value`; past the bound no answer has the old one."""
    due = write(value + 1)
    assert last_old(client, value, until=due + 1.5) < due
    assert months(client) == value + 1


@pytest.mark.slow
@pytest.mark.parametrize("serve_stale", [True, False])
def test_without_notifications_nothing_is_kept(
    server: dict[str, str], copy: str, serve_stale: bool
) -> None:
    with DeafProxy(server, drops=True) as proxy, behind(proxy, serve_stale=serve_stale) as client:
        for _ in range(2):
            assert_bound(client, months(client))
        assert metric(client, HITS) == metric(client, LISTENING) == 0
        assert (metric(client, ENTRIES) > 0) is serve_stale
        assert proxy.dropped > 0
        assert "source" not in client.get(f"/features/{USER}").json()["metadata"]


@pytest.mark.slow
@pytest.mark.parametrize(("late_s", "keeps"), [(0.3, True), (1.2, False)])
def test_late_notifications_shorten_the_time_an_answer_is_given(
    server: dict[str, str], copy: str, late_s: float, keeps: bool
) -> None:
    with DeafProxy(server, late_s=late_s) as proxy, behind(proxy) as client:
        if keeps:
            wait_until(lambda: months(client) > 0 and metric(client, HITS) > 0)
        for _ in range(3):
            assert_bound(client, months(client))
        assert (metric(client, HITS) > 0) is keeps


@pytest.mark.slow
def test_notifications_may_fail_to_arrive_from_any_moment_on(
    server: dict[str, str], copy: str
) -> None:
    with DeafProxy(server) as proxy, behind(proxy) as client:
        before = months(client)
        wait_until(lambda: months(client) > 0 and metric(client, HITS) > 0)
        proxy.drops = True
        assert_bound(client, before)
        assert metric(client, LISTENING) == 0


@pytest.mark.slow
@pytest.mark.parametrize("deaf_s", [0.7, 2.5])
def test_what_was_kept_before_notifications_were_lost_is_not_given_after(
    server: dict[str, str], copy: str, deaf_s: float
) -> None:
    """Notifications arrive again soon, perhaps before an echo of the service was missed."""
    with DeafProxy(server) as proxy, behind(proxy, serve_stale=True) as client:
        before = months(client)
        wait_until(lambda: months(client) > 0 and metric(client, HITS) > 0)
        proxy.drops = True
        due = write(before + 1)
        time.sleep(deaf_s)
        proxy.drops = False
        assert proxy.dropped > 1
        assert last_old(client, before, until=due + 2) < due
        wait_until(lambda: metric(client, LISTENING) == 1)
        hits = metric(client, HITS)
        wait_until(lambda: months(client) == before + 1 and metric(client, HITS) > hits)


@pytest.mark.slow
def test_every_write_before_one_is_heard_before_it(server: dict[str, str], copy: str) -> None:
    """Notifications that are late keep their order, so that an echo proves those before it."""
    with DeafProxy(server, late_s=0.4) as proxy, behind(proxy) as client:
        wait_until(lambda: months(client) > 0 and metric(client, HITS) > 0)
        ends = time.monotonic() + 4
        value = months(client)
        committed = [(0.0, value)]
        while time.monotonic() < ends:
            if time.monotonic() - committed[-1][0] > 0.15:
                value += 1
                committed.append((write(value) - STALENESS_S, value))
            asked = time.monotonic()
            seen = months(client)
            due = [was for moment, was in committed if moment + STALENESS_S <= asked]
            assert due[-1] <= seen <= value


def test_an_echo_that_the_database_does_not_take_costs_kept_answers_and_nothing_else(
    copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that waits for a standby holds the lock under which all notifications are queued."""
    fetch = Session.fetch

    async def refused(self: Session, query: str, *arguments: Any) -> Any:
        if query == ECHO:
            raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")
        return await fetch(self, query, *arguments)

    with serving() as client:
        wait_until(lambda: ready(client) and metric(client, LISTENING) == 1)
        monkeypatch.setattr(Session, "fetch", refused)
        wait_until(lambda: metric(client, LISTENING) == 0)
        hits = metric(client, HITS)
        value = months(client)
        write(value + 1)
        assert months(client) == value + 1
        assert ready(client)
        assert metric(client, HITS) == hits
        monkeypatch.undo()
        wait_until(lambda: months(client) > 0 and metric(client, HITS) > hits)
