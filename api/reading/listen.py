"""The connection over which the database is asked whether it is there, and for its catalog.

It is asked every half second, so that one that is lost or silent is noticed, and asked for the
catalog's version, so that nothing depends on being told. Over it go the echoes that prove that
notifications arrive, see notifications.py.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import asyncpg

from api.postgres.session import ANOTHER_SCHEMA, LOST, Overdue, Session, missing, unavailable
from api.reading.cache import Cache
from api.reading.notifications import Notifications
from streamflow.errors import SchemaMissing, StreamflowError

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
"""Between two questions, and for an answer; together they are cache.STALENESS_S."""
LULL_S = 0.02
"""Many requests may have a doubt at once, and one question answers all of them."""
VERSION = "SELECT version, pg_is_in_recovery() FROM ops.catalog"
EMPTY = "ops.catalog is empty; run: streamflow apply"

Connect = Callable[[], Awaitable[Session]]


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
    """Asks for ever, over a new connection whenever the last one is lost."""

    def __init__(
        self,
        connect: Connect,
        retry_s: float,
        cache: Cache,
        told: Told,
        listening: Connect | None,
    ) -> None:
        """
        Args:
            connect: opens a connection to be asked over.
            retry_s: between two attempts at that.
            cache: is told of writes.
            told: is told of the catalog.
            listening: opens one that notifications arrive over; None where none do.
        """
        self._connect, self._retry_s, self._told = connect, retry_s, told
        self._notifications = (
            Notifications(listening, retry_s, cache, self.wake) if listening else None
        )
        self.is_connected = False
        """Whether the database answered the last question."""
        self._wake = asyncio.Event()

    @property
    def is_listening(self) -> bool:
        """Whether notifications of writes are known to arrive."""
        return self._notifications is not None and self._notifications.are_heard

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
                log.exception("no connection that asks")
                await self._told.cannot_connect(unavailable(error))
            else:
                if was_silent:
                    self._told.fell_silent()
                was_silent = await self._ask_on(session)
            await self._pause(began + self._retry_s - time.monotonic())

    async def _ask_on(self, session: Session) -> bool:
        """Asks over `session` until it is lost; gives whether it fell silent."""
        try:
            session.when_closed(self.wake)
            while True:
                began = time.monotonic()
                is_standby = await self._beat(session)
                self.is_connected = True
                # A standby server refuses to listen.
                if self._notifications is not None and not is_standby:
                    await self._notifications.echo(session)
                await self._pause(began + HEARTBEAT_S - time.monotonic())
        except Overdue:
            log.warning("the connection that asks fell silent")
            return True
        except LOST as error:
            log.warning("the connection that asks was lost", extra={"cause": str(error)})
            return False
        except asyncpg.PostgresError as error:
            await self._told.cannot_connect(unavailable(error))
            return False
        finally:
            self.is_connected = False
            session.close()
            self._wake.clear()  # its end is known
            if self._notifications is not None:
                await self._notifications.close()

    async def _beat(self, session: Session) -> bool:
        """Asks for the catalog's version.

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
