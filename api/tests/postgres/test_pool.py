"""Connections for reads: as many as may be, shared fairly, replaced when they are lost."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api.errors import NotReady
from api.postgres import connect as connecting
from api.postgres.pool import Pool
from api.postgres.session import MOST_STATEMENTS, Session
from streamflow.errors import StoreUnavailable

PID = "SELECT pg_backend_pid()"
SLEEP = "SELECT pg_backend_pid(), pg_sleep(0.1)"

Open = Callable[[], Awaitable[Session]]


async def connect() -> Session:
    return await connecting.connect(5, 5)


def run(work: Callable[[Pool], Awaitable[Any]], limit: int, open_session: Open = connect) -> Any:
    """The result of `work` with a pool, which is closed in the end."""

    async def worked() -> Any:
        pool = Pool(limit, open_session)
        try:
            return await work(pool)
        finally:
            pool.close()

    return asyncio.run(worked())


def ends(seconds: float = 5) -> float:
    return asyncio.get_running_loop().time() + seconds


def opening(*first: Callable[[], Awaitable[Session]]) -> Open:
    """Opens connections; the first ones fail or wait as a test asks for."""
    scripted = list(first)

    async def opened() -> Session:
        return await (scripted.pop(0) if scripted else connect)()

    return opened


async def refused() -> Session:
    raise StoreUnavailable("too many connections")


async def hanging() -> Session:
    await asyncio.sleep(60)
    raise AssertionError("nobody waits so long")


def test_no_more_connections_are_opened_than_may_be(loaded: str) -> None:
    async def work(pool: Pool) -> set[int]:
        reads = [pool.fetch(SLEEP, (), ends()) for _ in range(6)]
        return {rows[0][0] for rows in await asyncio.gather(*reads)}

    began = time.monotonic()
    assert len(run(work, 2)) == 2
    assert time.monotonic() - began >= 0.3


def test_a_server_that_has_no_more_connections_is_read_over_those_there_are(loaded: str) -> None:
    async def work(pool: Pool) -> set[int]:
        [first] = await pool.fetch(PID, (), ends())
        reads = [pool.fetch(SLEEP, (), ends()) for _ in range(4)]
        found = {rows[0][0] for rows in await asyncio.gather(*reads)}
        assert found == {first[0]}
        return found

    assert len(run(work, 4, opening(connect, refused, refused, refused))) == 1


def test_without_any_connection_nobody_waits_for_one(loaded: str) -> None:
    async def work(pool: Pool) -> list[Any]:
        reads = [pool.fetch(PID, (), ends(30)) for _ in range(5)]
        return await asyncio.gather(*reads, return_exceptions=True)

    began = time.monotonic()
    found = run(work, 2, opening(*[refused] * 5))
    assert time.monotonic() - began < 5
    assert [type(one) for one in found] == [StoreUnavailable] * 5


def test_who_waits_behind_a_connection_that_never_comes_tries_for_itself(loaded: str) -> None:
    async def work(pool: Pool) -> list[Any]:
        hangs = asyncio.ensure_future(pool.fetch(PID, (), ends(0.3)))
        await asyncio.sleep(0.05)
        reads = [asyncio.ensure_future(pool.fetch(PID, (), ends())) for _ in range(2)]
        return await asyncio.gather(hangs, *reads, return_exceptions=True)

    began = time.monotonic()
    failed, *found = run(work, 1, opening(hanging))
    assert isinstance(failed, NotReady)
    assert [len(rows) for rows in found] == [1, 1]
    assert time.monotonic() - began < 3


def test_a_read_that_is_given_up_leaves_nothing_for_the_next(loaded: str) -> None:
    async def work(pool: Pool) -> int:
        for _ in range(3):
            given_up = asyncio.ensure_future(pool.fetch("SELECT 1, pg_sleep(5)", (), ends()))
            await asyncio.sleep(0.1)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
        [row] = await pool.fetch("SELECT 2", (), ends())
        return int(row[0])

    assert run(work, 1) == 2


def test_a_read_past_its_time_is_given_up_and_the_next_one_works(loaded: str) -> None:
    async def work(pool: Pool) -> int:
        with pytest.raises(NotReady, match="did not answer in time"):
            await pool.fetch("SELECT pg_sleep(5)", (), ends(0.2))
        [row] = await pool.fetch("SELECT 3", (), ends())
        return int(row[0])

    assert run(work, 1) == 3


def test_a_connection_keeps_no_more_statements_than_it_may(loaded: str) -> None:
    async def work(pool: Pool) -> int:
        for number in range(2 * MOST_STATEMENTS):
            [row] = await pool.fetch(f"SELECT {number}", (), ends())
            assert row[0] == number
        [row] = await pool.fetch("SELECT count(*) FROM pg_prepared_statements", (), ends())
        return int(row[0])

    assert run(work, 1) <= MOST_STATEMENTS + 3
