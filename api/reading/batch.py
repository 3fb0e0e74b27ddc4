"""Reads of rows by plans. Requests for one row each share queries: those that come while a query
of the same selection is under way go together in the next one."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any, NamedTuple

import asyncpg

from api.answer import instants
from api.answer.join_keys import as_json, as_text
from api.answer.rows import Entry, Row, answers_of
from api.errors import Busy, NotReady, Outdated
from api.plans.plan import Plan
from api.postgres.pool import Pool, expire
from api.postgres.replica import ProvenRows
from api.postgres.session import deadline
from api.reading.cache import Cache
from api.reading.state import State
from api.settings import ApiSettings
from streamflow.errors import SchemaMissing

MOST_FLIGHTS = 2
"""Queries of one selection under way at a time. With more, each carries fewer requests and all
take longer; with one, the service waits while the database works."""

Turn = asyncio.Future[tuple[Entry | None, int, float | None]]
"""A request's wait for its row."""


class Read(NamedTuple):
    """Rows, and how new they are."""

    rows: list[Row]
    seen: float | None
    """The moment (of time.monotonic) before which all commits are in them, where a replica was
    read; infinity for none that could be missing, None where the primary was read."""


class Queue:
    """Requests for one row each of one plan, which go together in the next query."""

    __slots__ = ("flights", "turns")

    def __init__(self) -> None:
        self.turns: dict[Any, list[Turn]] = {}
        """By key, the requests that wait for its row and are in no query yet."""
        self.flights = 0
        """Queries for such requests that are under way."""


class Reads:
    """Reads through `pool`, as long as a request may take. Belongs to one event loop."""

    def __init__(self, settings: ApiSettings, pool: Pool, cache: Cache, state: State) -> None:
        """
        Args:
            settings: the limits, and the name of the join key in answers.
            pool: the connections.
            cache: where the rows of `one` are kept.
            state: knows by which catalogs rows may be answered.
        """
        self._settings, self._pool, self._cache, self._state = settings, pool, cache, state
        self._queues: dict[Plan, Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.waiting = 0
        """Requests that wait for a row or a query."""
        self.queries = 0

    async def one(self, plan: Plan, key: Any) -> tuple[Entry | None, int, float | None]:
        """The entry of the row with `key`, None for no row; the moment it was made for; see Read.

        Raises:
            Outdated: the catalog is another one than the plan's, or the tables are not as it says.
            NotReady: the row could not be read in time, or too many wait.
            StoreUnavailable: PostgreSQL does not answer.
        """
        self._require_room()
        loop = asyncio.get_running_loop()
        turn: Turn = loop.create_future()
        timer = loop.call_later(self._settings.deadline_s, expire, turn)
        self.waiting += 1
        try:
            queue = self._queues.get(plan)
            if queue is None:
                queue = self._queues[plan] = Queue()
            turns = queue.turns.get(key)
            if turns is not None:
                turns.append(turn)
            else:
                queue.turns[key] = [turn]
            if queue.flights < MOST_FLIGHTS:
                queue.flights += 1
                task = loop.create_task(self._run_queries(plan, queue))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return await turn
        finally:
            self.waiting -= 1
            timer.cancel()

    async def many(self, plan: Plan, keys: Sequence[Sequence[Any]]) -> Read:
        """The rows for `keys` (an array for each join key of the plan), in their order.

        Raises as `one` does.
        """
        with self.admitted():
            return await self._rows(plan, keys)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request among those that wait; raises Busy where too many do."""
        self._require_room()
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def entry(self, plan: Plan, row: Row, key: Any, now: int) -> Entry | None:
        """A row as an entry, None where no view has the key; see Answers.entry."""
        answers = answers_of(plan, self._settings.join_key)
        return answers.entry(row, as_text(key), as_json(key), now)

    async def close(self) -> None:
        """End the queries under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _require_room(self) -> None:
        if self.waiting >= self._settings.max_waiting:
            raise Busy("too many requests are waiting")

    async def _run_queries(self, plan: Plan, queue: Queue) -> None:
        """Run queries until no request waits for a row of `plan` any more."""
        try:
            while queue.turns:
                batch = self._next_batch(queue)
                if batch:
                    await self._answer(plan, batch)
        finally:
            queue.flights -= 1
            if not queue.flights and not queue.turns:
                self._queues.pop(plan, None)

    def _next_batch(self, queue: Queue) -> dict[Any, list[Turn]]:
        """The requests of the next query, without those whose time is over."""
        most = self._settings.max_users
        if len(queue.turns) <= most:
            batch, queue.turns = queue.turns, {}
        else:
            batch = {key: queue.turns.pop(key) for key in list(queue.turns)[:most]}
        return {
            key: turns for key, turns in batch.items() if not all(turn.done() for turn in turns)
        }

    async def _answer(self, plan: Plan, batch: dict[Any, list[Turn]]) -> None:
        """Read the rows of `batch` and settle its requests."""
        generation = self._cache.generation(plan)
        try:
            rows, seen = await self._rows(plan, plan.arrays(list(batch)))
        except asyncio.CancelledError:
            fail_all(batch, NotReady("the service ends"))
            raise
        except Exception as error:  # whatever it is, no request may wait for ever
            fail_all(batch, error)
        else:
            now = instants.now()
            for row, (key, turns) in zip(rows, batch.items(), strict=True):
                try:
                    entry = self.entry(plan, row, key, now)
                except Exception as error:  # a value that cannot be written is this user's alone
                    fail(turns, error)
                    continue
                if entry is not None:
                    self._cache.put(plan, key, entry, generation)
                for turn in turns:
                    if not turn.done():
                        turn.set_result((entry, now, seen))

    async def _rows(self, plan: Plan, keys: Sequence[Sequence[Any]]) -> Read:
        self.queries += 1
        try:
            rows = await self._pool.fetch(plan.query, keys, deadline(self._settings.deadline_s))
        except SchemaMissing as error:
            raise Outdated(plan.version) from error
        except asyncpg.DataError:  # a text with a character that the database's encoding has not
            return await self._rows_apart(plan, keys)
        if not rows or not self._state.matches(plan.version, rows[0][0]):
            raise Outdated(plan.version)
        if len(rows) > 1:
            rows.sort(key=row_number)
        return Read(rows, rows.seen if isinstance(rows, ProvenRows) else None)

    async def _rows_apart(self, plan: Plan, keys: Sequence[Sequence[Any]]) -> Read:
        """Halve the keys until the one is alone that cannot be, and therefore has no row."""
        half, rest = divmod(len(keys[0]), 2)
        if not half:
            row = (plan.version, 1, *[None] * (len(plan.views) + len(plan.columns)))
            return Read([row], inf if self._settings.read_host else None)
        first = await self._rows(plan, [column[: half + rest] for column in keys])
        second = await self._rows(plan, [column[half + rest :] for column in keys])
        moments = [one for one in (first.seen, second.seen) if one is not None]
        return Read([*first.rows, *second.rows], min(moments, default=None))


def lag_of(seen: float | None) -> float | None:
    """Seconds that rows may be behind the primary by now; None where they were read from it."""
    return None if seen is None else max(time.monotonic() - seen, 0.0)


def row_number(row: Row) -> int:
    """The place of a row among the rows of keys, from 1."""
    number: int = row[1]
    return number


def fail_all(batch: dict[Any, list[Turn]], error: Exception) -> None:
    """Raise `error` to all requests of a query."""
    for turns in batch.values():
        fail(turns, error)


def fail(turns: list[Turn], error: Exception) -> None:
    """Raise `error` to the requests for one row."""
    for turn in turns:
        if not turn.done():
            turn.set_exception(error)
