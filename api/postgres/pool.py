"""A pool of connections for reads, with deadlines; connections that are lost are replaced.

asyncpg's own pool resets each connection that is given back, by a round trip that takes as long as
a read. It does not run a query again over a fresh connection, and reads that wait for a connection
go on waiting while the server is away.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg

from api.errors import NotReady
from api.postgres.session import (
    CONNECTION_LOST,
    REPLAY_CONFLICT,
    SCHEMA_CHANGED,
    STATEMENT_OUTDATED,
    Overdue,
    Rows,
    Session,
    schema_missing,
    store_unavailable,
)
from streamflow.errors import StoreUnavailable

Connect = Callable[[], Awaitable[Session]]

NO_ANSWER = "the database did not answer in time"
CLOSED = StoreUnavailable("the service ends")


class Pool:
    """At most `limit` connections. Belongs to one event loop."""

    def __init__(self, limit: int, connect: Connect) -> None:
        self.limit, self._connect = limit, connect
        self._idle: list[Session] = []
        self._busy: set[Session] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[Session | None]] = deque()

    async def fetch(self, query: str, arguments: Sequence[Any], ends: float) -> Rows:
        """The rows of `query`, which is run once again if the connection turns out to be lost.

        So it is if a standby has ended it, whose replay it was in the way of.

        Args:
            ends: until when, by the clock of the event loop.

        Raises:
            NotReady: no connection was free, or the database did not answer, in time.
            StoreUnavailable: PostgreSQL does not answer.
            SchemaMissing: a table or column is not there.
            asyncpg.DataError: PostgreSQL cannot take one of the arguments.
        """
        try:
            return await self._attempt(query, arguments, ends, fresh=False)
        except (*CONNECTION_LOST, *REPLAY_CONFLICT) as error:
            fresh = not isinstance(error, REPLAY_CONFLICT)  # else the other connections are good
            try:
                return await self._attempt(query, arguments, ends, fresh)
            except (*CONNECTION_LOST, *REPLAY_CONFLICT) as second:
                raise store_unavailable(second) from second

    async def write(self, query: str, arguments: Sequence[Any], ends: float) -> Rows:
        """The rows of `query`, which writes; see Session.write. Raises as `fetch` does.

        It is not run again, since a connection that is lost may have done it.
        """
        try:
            return await self._attempt(query, arguments, ends, fresh=False, writes=True)
        except (*CONNECTION_LOST, *REPLAY_CONFLICT) as error:
            raise store_unavailable(error) from error

    async def _attempt(
        self,
        query: str,
        arguments: Sequence[Any],
        ends: float,
        fresh: bool,
        writes: bool = False,
    ) -> Rows:
        session = await self._borrow(ends, fresh)
        try:
            run = session.write if writes else session.fetch
            return await run(query, arguments, ends)
        except (Overdue, asyncpg.QueryCanceledError) as error:
            raise NotReady(NO_ANSWER) from error
        except (*SCHEMA_CHANGED, *STATEMENT_OUTDATED) as error:
            session.forget(query)
            raise schema_missing(error) from error
        except (asyncio.CancelledError, *CONNECTION_LOST, *REPLAY_CONFLICT):
            # An answer that comes late would be the next one's, and a conflict may end more than
            # the statement.
            session.close()
            raise
        except asyncpg.DataError:
            raise
        except asyncpg.PostgresError as error:
            raise store_unavailable(error) from error
        finally:
            self._give_back(session)

    def replace(self) -> None:
        """Close all connections, since one of them was found silent; reads go to new ones."""
        for session in (*self._idle, *self._busy):
            session.close()

    def close(self) -> None:
        """Close all connections for good."""
        self.limit = 0
        self.replace()
        self._fail_waiting(CLOSED)

    async def _borrow(self, ends: float, fresh: bool) -> Session:
        while (session := self._take_idle(fresh)) is None:
            if not self.limit:
                raise CLOSED
            if self._opened < self.limit:
                session = await self._open_one(ends)
            else:
                session = await self._wait(ends)
            if session is not None:
                break
        self._busy.add(session)
        return session

    @property
    def _opened(self) -> int:
        return len(self._idle) + len(self._busy) + self._opening

    @property
    def states(self) -> dict[str, int]:
        """Numbers of connections that are idle, busy with a read, and being opened."""
        return {"idle": len(self._idle), "busy": len(self._busy), "opening": self._opening}

    @property
    def waiting(self) -> int:
        """Number of reads that wait for a connection."""
        return sum(not turn.done() for turn in self._waiting)

    def _take_idle(self, fresh: bool) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            if session.is_closed or fresh:
                session.close()
            else:
                return session
        return None

    async def _open_one(self, ends: float) -> Session | None:
        """A new connection; None where another one may be opened instead."""
        self._opening += 1
        failed: StoreUnavailable | None = None
        session: Session | None = None
        try:
            async with asyncio.timeout_at(ends):
                session = await self._connect()
        except TimeoutError:
            raise NotReady(NO_ANSWER) from None
        except StoreUnavailable as error:
            failed = error
        finally:
            self._opening -= 1
            if session is None and failed is None:
                self._hand_over(None)  # the next one may have more time, or more luck
        if failed is None:
            return session
        if self._opened and self.limit:  # the server may have no more for us
            return await self._wait(ends)
        self._fail_waiting(failed)
        raise failed

    async def _wait(self, ends: float) -> Session | None:
        """A connection that another read gives back; None where one may be opened instead."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Session | None] = loop.create_future()
        timer = loop.call_at(ends, expire, turn)
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._hand_over(turn.result())
            raise
        finally:
            timer.cancel()

    def _give_back(self, session: Session) -> None:
        self._busy.discard(session)
        self._hand_over(None if session.is_closed else session)

    def _hand_over(self, session: Session | None) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(session)
                return
        if session is not None:
            self._idle.append(session)

    def _fail_waiting(self, error: StoreUnavailable) -> None:
        """Raise `error` to all reads that wait for a connection, since there can be none."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)


def expire(turn: "asyncio.Future[Any]") -> None:
    """End a wait whose time is over with NotReady."""
    if not turn.done():
        turn.set_exception(NotReady(NO_ANSWER))
