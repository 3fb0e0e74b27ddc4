"""The heartbeat: a connection over which the database is asked whether it is there.

It is asked every half second, so that a connection which is lost or silent is noticed, and asked
for the catalog's version, so that nothing depends on notifications. Over it go the echoes that
prove that notifications arrive, see notifications.py.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

import asyncpg

from api.background import BackgroundTask
from api.postgres.positions import Primary
from api.postgres.session import (
    CONNECTION_LOST,
    SCHEMA_CHANGED,
    Overdue,
    Session,
    deadline,
    schema_missing,
    store_unavailable,
)
from api.reading.availability import Availability
from api.reading.catalog_reader import VERSION, VERSION_TIMEOUT_S
from api.reading.notifications import Notifications
from api.reading.state import State
from streamflow.errors import StreamflowError

log = logging.getLogger(__name__)

PAUSE_S = 0.5
"""Between two questions; with the time for an answer it makes cache.STALENESS_S."""
LULL_S = 0.02
"""Many requests may have a doubt at once, and one question answers all of them."""


class Heartbeat(BackgroundTask):
    """Asks for ever, over a new connection whenever the last one is lost."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Session]],
        retry_s: float,
        state: State,
        availability: Availability,
        notifications: Notifications | None,
        primary: Primary | None = None,
    ) -> None:
        """
        Args:
            connect: opens a connection to be asked over.
            retry_s: seconds between two attempts at that.
            state: says when to ask at once, and gets whether the database answers.
            availability: takes in what is seen.
            notifications: gets an echo sent after each answer; None where none are listened for.
            primary: gets where the server's log is; None where no replica is read.
        """
        self._connect, self._retry_s = connect, retry_s
        self._state, self._availability = state, availability
        self._notifications, self._primary = notifications, primary

    async def _run(self) -> None:
        """Ask until cancelled."""
        was_silent = False
        while True:
            began = time.monotonic()
            try:
                session = await self._connect()
            except StreamflowError as error:
                await self._availability.connection_failed(error)
            except Exception as error:  # whatever it is, the next attempt may find it mended
                log.exception("no connection that asks")
                await self._availability.connection_failed(store_unavailable(error))
            else:
                if was_silent:
                    self._availability.connection_was_silent()
                was_silent = await self._ask_on(session)
            await self._pause(began + self._retry_s - time.monotonic())

    async def _ask_on(self, session: Session) -> bool:
        """Ask over `session` until it is lost; returns True if it stopped answering."""
        try:
            session.when_closed(self._state.heartbeat_wanted.set)
            while True:
                began = time.monotonic()
                is_standby = await self._ask(session)
                self._state.is_connected = True
                if self._primary is not None:
                    await self._primary.ask(session, VERSION_TIMEOUT_S)
                # A standby server refuses to listen.
                if self._notifications is not None and not is_standby:
                    await self._notifications.send_echo(session)
                await self._pause(began + PAUSE_S - time.monotonic())
        except Overdue:
            log.warning("the connection that asks fell silent")
            return True
        except CONNECTION_LOST as error:
            log.warning("the connection that asks was lost", extra={"cause": str(error)})
            return False
        except asyncpg.PostgresError as error:
            await self._availability.connection_failed(store_unavailable(error))
            return False
        finally:
            self._state.is_connected = False
            session.close()
            self._state.heartbeat_wanted.clear()  # wanted because this session was closed
            if self._notifications is not None:
                await self._notifications.close()

    async def _ask(self, session: Session) -> bool:
        """Ask for the catalog's version; returns True if the server is a standby."""
        try:
            query = VERSION.format(self._state.relation)
            rows = await session.fetch(query, (), deadline(VERSION_TIMEOUT_S))
        except SCHEMA_CHANGED as error:
            self._availability.catalog_missing(schema_missing(error))
            return False
        if not rows:
            self._availability.catalog_missing(self._state.no_catalog())
            return False
        version, is_standby = rows[0]
        self._availability.version_seen(version)
        return bool(is_standby)

    async def _pause(self, seconds: float) -> None:
        """Wait for so many seconds, or until a heartbeat is wanted."""
        wanted = self._state.heartbeat_wanted
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await wanted.wait()
                await asyncio.sleep(LULL_S)
        wanted.clear()
