"""Reads of rows by plans. Requests for one row each share queries: what is asked while a query
of the same selection is under way goes together in the next one."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg

from api.answer import instants
from api.answer.rows import Entry, Row
from api.errors import Busy, NotReady, Outdated
from api.postgres.pool import Pool, expire
from api.reading.cache import Cache
from api.reading.plan import Plan
from api.settings import ApiSettings
from streamflow.errors import SchemaMissing

FLIGHTS = 2
"""Queries of one selection under way at a time. With more, each carries fewer requests and all
take longer; with one, the service waits while the database works."""

Turn = asyncio.Future[tuple[Entry | None, int]]


class Reads:
    """Reads through `pool`, as long as a request may take. Belongs to one event loop."""

    def __init__(
        self,
        settings: ApiSettings,
        pool: Pool,
        cache: Cache,
        matches: Callable[[int, int], bool],
        entry: Callable[[Plan, Row, Any, int], Entry | None],
    ) -> None:
        """
        Args:
            settings: the limits.
            pool: the connections.
            cache: where the rows of `one` are kept.
            matches: whether rows read under the second version of the catalog may be answered
                by the first one.
            entry: makes the answer of a row, its key and the moment; None for an unknown user.
        """
        self._settings, self._pool, self._cache = settings, pool, cache
        self._matches, self._entry = matches, entry
        self._tasks: set[asyncio.Task[None]] = set()
        self.waiting = 0
        """Requests that wait for a row or a query."""
        self.queries = 0

    async def one(self, plan: Plan, key: Any) -> tuple[Entry | None, int]:
        """The entry of the row with `key`, None for no row; and the moment it was made for.

        Raises:
            Outdated: the catalog is another one than the plan's, or the tables are not as it says.
            NotReady: the row could not be read in time, or too many wait.
            StoreUnavailable: PostgreSQL does not answer.
        """
        self._admit()
        loop = asyncio.get_running_loop()
        turn: Turn = loop.create_future()
        timer = loop.call_later(self._settings.deadline_s, expire, turn)
        self.waiting += 1
        try:
            turns = plan.waiting.get(key)
            if turns is not None:
                turns.append(turn)
            else:
                plan.waiting[key] = [turn]
            if plan.flying < FLIGHTS:
                plan.flying += 1
                task = loop.create_task(self._fly(plan))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return await turn
        finally:
            self.waiting -= 1
            timer.cancel()

    async def many(self, plan: Plan, keys: Sequence[Sequence[Any]]) -> list[Row]:
        """The rows for `keys` (an array for each join key of the plan), in their order.

        Raises as `one` does.
        """
        with self.admitted():
            return await self._rows(plan, keys)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Counts a request among those that wait; raises NotReady where too many do."""
        self._admit()
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """Ends the queries under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _admit(self) -> None:
        if self.waiting >= self._settings.max_waiting:
            raise Busy("too many requests are waiting")

    async def _fly(self, plan: Plan) -> None:
        """Queries until nobody waits for a row of `plan` any more."""
        try:
            while plan.waiting:
                batch = self._next(plan)
                if batch:
                    await self._answer(plan, batch)
        finally:
            plan.flying -= 1

    def _next(self, plan: Plan) -> dict[Any, list[Turn]]:
        """Who goes with the next query, without those whose time is over."""
        most = self._settings.max_users
        if len(plan.waiting) <= most:
            batch, plan.waiting = plan.waiting, {}
        else:
            batch = {key: plan.waiting.pop(key) for key in list(plan.waiting)[:most]}
        return {key: turns for key, turns in batch.items() if not all(one.done() for one in turns)}

    async def _answer(self, plan: Plan, batch: dict[Any, list[Turn]]) -> None:
        """Reads the rows of `batch` and settles its requests."""
        generation = self._cache.generation(plan)
        try:
            rows = await self._rows(plan, plan.arrays(list(batch)))
        except asyncio.CancelledError:
            settle_all(batch, NotReady("the service ends"))
            raise
        except Exception as error:  # whatever it is, nobody may wait for ever
            settle_all(batch, error)
        else:
            now = instants.now()
            for row, (key, turns) in zip(rows, batch.items(), strict=True):
                try:
                    entry = self._entry(plan, row, key, now)
                except Exception as error:  # a value that cannot be written is this user's alone
                    settle(turns, error)
                    continue
                if entry is not None:
                    self._cache.put(plan, key, entry, generation)
                for turn in turns:
                    if not turn.done():
                        turn.set_result((entry, now))

    async def _rows(self, plan: Plan, keys: Sequence[Sequence[Any]]) -> list[Row]:
        self.queries += 1
        ends = asyncio.get_running_loop().time() + self._settings.deadline_s
        try:
            rows = await self._pool.fetch(plan.query, keys, ends)
        except SchemaMissing as error:
            raise Outdated(plan.version) from error
        except asyncpg.DataError:  # a text with a character that the database's encoding has not
            return await self._rows_apart(plan, keys)
        if not rows or not self._matches(plan.version, rows[0][0]):
            raise Outdated(plan.version)
        if len(rows) > 1:
            rows.sort(key=row_number)
        return rows

    async def _rows_apart(self, plan: Plan, keys: Sequence[Sequence[Any]]) -> list[Row]:
        """Halves the keys until the one is alone that cannot be, and therefore has no row."""
        half, rest = divmod(len(keys[0]), 2)
        if not half:
            return [(plan.version, 1, *[None] * (len(plan.views) + len(plan.columns)))]
        return [
            *await self._rows(plan, [column[: half + rest] for column in keys]),
            *await self._rows(plan, [column[half + rest :] for column in keys]),
        ]


def row_number(row: Row) -> int:
    """Where a row stands among the rows of keys, from 1."""
    number: int = row[1]
    return number


def settle_all(batch: dict[Any, list[Turn]], error: Exception) -> None:
    """Tells all requests of a query that it failed."""
    for turns in batch.values():
        settle(turns, error)


def settle(turns: list[Turn], error: Exception) -> None:
    """Tells requests for one row that it could not be read."""
    for turn in turns:
        if not turn.done():
            turn.set_exception(error)
