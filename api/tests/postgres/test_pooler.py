"""The API behind a real pooler in transaction mode, whose few servers are really shared."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from api.postgres.connect import connect
from api.postgres.session import Rows
from api.tests.conftest import TABLE, metric, ready, serving, statement, wait_until
from api.tests.reading.test_notifications import ENTRIES, HITS, LISTENING, assert_bound, months
from drills.pooler import Pooler
from streamflow.errors import ConfigurationError

MONTHS = f"""SELECT user_id, "subs_profile_fv:months_active" FROM {TABLE}
             WHERE "subs_profile_fv@event_ts" IS NOT NULL"""


@pytest.fixture
def pooler(server: dict[str, str], copy: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pooler]:
    """Three servers for all that PG* lead to."""
    with Pooler(server, size=3) as found:
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture(params=["alone", "with an address beside it", "not named"])
def client(
    request: pytest.FixtureRequest, pooler: Pooler, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[httpx.Client, bool]]:
    """A server of ours behind the pooler, which knows PostgreSQL's own address or not."""
    keeps = request.param == "with an address beside it"
    for name, value in pooler.direct.items() if keeps else ():
        monkeypatch.setenv(name, value)
    if request.param == "not named":
        monkeypatch.delenv("STREAMFLOW_POOLER")
    # A busy machine may take longer for a hundred at once than callers are to wait.
    with serving(note_callers_s=0.2, deadline_s=60) as client:
        wait_until(lambda: ready(client) and (metric(client, LISTENING) == 1) is keeps)
        yield client, keeps


@pytest.mark.slow
def test_thousands_of_requests_at_once_are_answered_right(
    pooler: Pooler, client: tuple[httpx.Client, bool], copy: str
) -> None:
    """Requests for one user and many, of several services, never meet a statement of another."""
    asked, keeps = client
    with psycopg.connect() as connection:
        right = dict(connection.execute(MONTHS).fetchall())
    everybody = list(right)

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        user = everybody[number % len(everybody)]
        if number % 5 == 0:
            body = {"user_ids": everybody[: number % 40 + 1]}
            answer = await client.post("/features", json=body)
            assert answer.status_code == 200, answer.text
            found = answer.json()["results"]
            assert [one["features"]["months_active"] for one in found] == [
                right[one] for one in body["user_ids"]
            ]
            return
        query = ("", "?service=profile_v1", "?features=subs_profile_fv:months_active")[number % 3]
        answer = await client.get(f"/features/{user}{query}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["features"]["months_active"] == right[user]

    async def ask_all() -> None:
        async with httpx.AsyncClient(base_url=asked.base_url, timeout=30) as client:
            for first in range(0, 2000, 100):
                await asyncio.gather(*(ask(client, first + number) for number in range(100)))

    asyncio.run(ask_all())
    assert len(pooler.servers(copy)) <= 3 + keeps
    assert (metric(asked, HITS) > 0) is keeps
    assert (metric(asked, ENTRIES) > 0) is keeps


def test_several_services_share_the_servers(pooler: Pooler) -> None:
    """No service meets another's statements, though a setting names the pooler to one alone."""
    with pytest.MonkeyPatch.context() as patch, serving() as told:
        wait_until(lambda: ready(told))
        patch.delenv("STREAMFLOW_POOLER")
        with serving() as untold:
            wait_until(lambda: ready(untold))
            for number in range(60):
                for one, other in ((told, untold), (untold, told)):
                    feature = ("monthly_fee", "months_active")[number % 2]
                    path = f"/features/7590-VHVEG?features=subs_profile_fv:{feature}"
                    assert one.get(path).json()["features"] == other.get(path).json()["features"]


@pytest.mark.slow
def test_a_write_is_answered_within_the_bound(client: tuple[httpx.Client, bool]) -> None:
    asked, keeps = client
    for _ in range(3):
        assert_bound(asked, months(asked))
    assert (metric(asked, HITS) > 0) is keeps


def test_who_asks_is_noted(client: tuple[httpx.Client, bool]) -> None:
    asked, _ = client
    for _ in range(5):
        assert asked.get("/features/7590-VHVEG").status_code == 200
    with psycopg.connect() as connection:
        noted = "SELECT caller, requests FROM ops.callers"
        wait_until(lambda: connection.execute(noted).fetchall() == [("", 5)])


def test_another_catalog_and_another_table_are_followed(client: tuple[httpx.Client, bool]) -> None:
    asked, _ = client
    before = months(asked)
    statement(
        f'ALTER TABLE {TABLE} ALTER "subs_profile_fv:months_active" TYPE integer;'
        " UPDATE ops.catalog SET version = version + 1"
    )
    for _ in range(20):
        assert months(asked) == before
    wait_until(lambda: ready(asked))


def test_unknown_users_and_texts_are_no_errors_of_the_pooler(
    client: tuple[httpx.Client, bool],
) -> None:
    asked, _ = client
    for user in ("nobody", "a'b", "%F0%9F%8E%AC"):
        assert asked.get(f"/features/{user}").status_code == 404
    assert months(asked) >= 0
    assert asked.get("/metrics").status_code == 200


def test_a_connection_that_comes_and_goes_leaves_nothing_behind(pooler: Pooler) -> None:
    """A query that fails or takes too long leaves nothing behind for the server's next client."""
    import asyncpg

    for query in ("SELECT 1/0", "SELECT pg_sleep(5)", "DELETE FROM ops.catalog"):
        with pytest.raises(asyncpg.PostgresError):
            answers([query], seconds=0.2)
    names = "TimeZone statement_timeout transaction_read_only plan_cache_mode jit"
    values = ", ".join(f"current_setting('{name}')" for name in names.split())
    [row] = answers(["SELECT 1", f"SELECT {values}"], seconds=0.2)
    assert tuple(row) == ("UTC", "200ms", "on", "force_generic_plan", "off")
    with psycopg.connect() as connection:
        for _ in range(5):
            found = connection.execute("SHOW statement_timeout").fetchone()
            assert found == ("0",)
            connection.commit()


def answers(queries: list[str], seconds: float) -> Rows:
    """The answer of the last query over one connection of the service."""

    async def ask() -> Any:
        session = await connect(5, seconds)
        ends = asyncio.get_running_loop().time() + 5
        try:
            for query in queries:
                rows = await session.fetch(query, (), ends)
            return rows
        finally:
            session.close()

    found: Rows = asyncio.run(ask())
    return found


def test_settings_that_need_a_session_are_refused(
    pooler: Pooler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=5MB")
    with pytest.raises(ConfigurationError, match="PGOPTIONS cannot be used with STREAMFLOW_POOLER"):
        answers(["SELECT 1"], 1)
