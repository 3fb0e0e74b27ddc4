"""The connection that hears of changes: of the catalog, and of rows as they are committed.

It is asked every half second, so that one that is lost or silent is noticed, and asked for the
catalog's version, so that nothing depends on being told.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import asyncpg

from api.cache import Cache
from api.database import ANOTHER_SCHEMA, LOST, Overdue, Session, missing, unavailable
from feature_repo import catalog
from feature_repo.errors import SchemaMissing, StreamflowError

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
"""Between two questions, and for an answer; together they are cache.STALENESS_S."""
LULL_S = 0.02
"""Many requests may have a doubt at once, and one question answers all of them."""
VERSION = "SELECT version, pg_is_in_recovery() FROM ops.catalog"
EMPTY = "ops.catalog is empty; run: streamflow apply"


class Told(Protocol):
    """Who is told what the connection hears."""

    def sees(self, version: int) -> None:
        """The catalog in the database has this version."""

    def lacks_catalog(self, error: SchemaMissing) -> None:
        """The database has no catalog."""

    async def cannot_connect(self, error: StreamflowError) -> None:
        """There is no connection."""

    def fell_silent(self) -> None:
        """The connection did not answer any more, but a new one does."""


class Listener:
    """Listens for ever, over a new connection whenever the last one is lost."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Session]],
        retry_s: float,
        cache: Cache,
        told: Told,
    ) -> None:
        self._connect, self._retry_s, self._cache, self._told = connect, retry_s, cache, told
        self.is_listening = False
        self.is_connected = False
        """Whether the database answered the last question."""
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Asks at once and not after the usual pause."""
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        was_silent = False
        while True:
            began = time.monotonic()
            try:
                session = await self._connect()
            except StreamflowError as error:
                await self._told.cannot_connect(error)
            except Exception as error:  # whatever it is, the next attempt may find it mended
                log.exception("no connection that listens")
                await self._told.cannot_connect(unavailable(error))
            else:
                if was_silent:
                    self._told.fell_silent()
                was_silent = await self._listen(session)
            await self._pause(began + self._retry_s - time.monotonic())

    async def _listen(self, session: Session) -> bool:
        """Listens over `session` until it is lost; gives whether it fell silent."""
        was_standby = False
        try:
            await self._subscribe(session)
            while True:
                began = time.monotonic()
                is_standby = await self._beat(session)
                if was_standby and not is_standby:
                    log.info("the standby was promoted, and can tell of changes now")
                    return False
                was_standby = is_standby
                self.is_connected = True
                if self.is_listening:
                    self._cache.heard(began)
                await self._pause(began + HEARTBEAT_S - time.monotonic())
        except Overdue:
            log.warning("the connection that listens fell silent")
            return True
        except LOST as error:
            log.warning("the connection that listens was lost", extra={"cause": str(error)})
            return False
        except asyncpg.PostgresError as error:
            await self._told.cannot_connect(unavailable(error))
            return False
        finally:
            self.is_listening = self.is_connected = False
            self._cache.distrust()
            session.close()

    async def _subscribe(self, session: Session) -> None:
        """Has changes told; a standby server refuses that."""
        session.when_closed(self._closed)
        ends = asyncio.get_running_loop().time() + self._retry_s + HEARTBEAT_S
        try:
            await session.listen(catalog.CHANNEL, lambda _: self.wake(), ends)
            await session.listen(catalog.ONLINE_CHANNEL, self._cache.written, ends)
        except LOST:
            raise
        except asyncpg.PostgresError as error:
            log.warning("cannot listen, no answer is kept", extra={"cause": str(error)})
        else:
            self._cache.distrust()  # what was read until now may be older than a write unheard
            self.is_listening = True

    def _closed(self) -> None:
        """Does not wait for the next question to notice."""
        if self.is_listening:
            self._cache.heard(float("-inf"))
            self.wake()

    async def _beat(self, session: Session) -> bool:
        """Asks for the catalog's version; all that was committed before was heard of after it.

        Returns:
            Whether the server is a standby.
        """
        ends = asyncio.get_running_loop().time() + HEARTBEAT_S
        try:
            rows = await session.fetch(VERSION, (), ends)
        except ANOTHER_SCHEMA as error:
            self._told.lacks_catalog(missing(error))
            return False
        if not rows:
            self._told.lacks_catalog(SchemaMissing(EMPTY))
            return False
        self._told.sees(rows[0][0])
        return bool(rows[0][1])

    async def _pause(self, seconds: float) -> None:
        """Waits so long, or until somebody wants to know."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await self._wake.wait()
                await asyncio.sleep(LULL_S)
        self._wake.clear()
