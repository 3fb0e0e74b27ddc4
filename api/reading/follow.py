"""Follows the database: which catalog there is, and whether the service can answer at all."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from api.errors import NotReady, public
from api.postgres.pool import Pool
from api.postgres.session import Session
from api.reading.cache import Cache
from api.reading.listen import EMPTY, HEARTBEAT_S, VERSION, Listener
from api.reading.served_catalog import Catalogs
from api.settings import ApiSettings
from streamflow.catalog import model as catalog
from streamflow.catalog.model import Catalog, CatalogTooNew
from streamflow.errors import SchemaMissing, SchemaTooNew, StoreUnavailable, StreamflowError
from streamflow.postgres import migrations

log = logging.getLogger(__name__)

STARTING = "the service is starting"


class Follower:
    """The state of the database as far as it is known here. Belongs to one event loop."""

    def __init__(
        self,
        settings: ApiSettings,
        pools: Sequence[Pool],
        cache: Cache,
        connect: Callable[[], Awaitable[Session]],
        probe: Callable[[], Awaitable[None]],
        listening: Callable[[], Awaitable[Session]] | None,
    ) -> None:
        """
        Args:
            settings: the intervals.
            pools: of all connections for reads; the catalog is read over the first.
            cache: of what is read.
            connect: opens a connection.
            probe: reads as a request for the default service would, and raises as one.
            listening: opens a connection that notifications arrive over; None where none do.
        """
        self._settings, self._pools, self._cache, self._probe = settings, pools, cache, probe
        self.listener = Listener(connect, settings.retry_s, cache, self, listening)
        self.catalogs = Catalogs()
        self.away: str | None = STARTING
        """Why no request can be answered, when that is known without trying."""
        self.reason: str | None = STARTING
        """Why the service is not ready."""
        self._looked = float("-inf")
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begins to follow."""
        self._once("listen", self.listener.run)

    async def close(self) -> None:
        """Stops following."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def doubt(self) -> None:
        """Asks for a look at the database now, because a request found it wanting."""
        self.listener.wake()
        self._once("look", self._look)

    def require(self) -> Catalog:
        """The catalog by which a request is answered from start to end.

        Raises:
            NotReady: there is none, or the database is known to be away.
        """
        found = self.catalogs.current
        if self.away is not None or found is None:
            raise NotReady(self.away or self.reason or STARTING)
        return found

    async def refresh(self) -> None:
        """Reads the catalog; several callers at the same time share one reading.

        Raises:
            NotReady: it cannot be read.
        """
        await asyncio.shield(self._once("refresh", self._read_catalog))

    async def confirm(self) -> None:
        """Returns when the catalog is the one that the database has; reads it where it is not.

        Raises:
            NotReady: the database does not tell.
        """
        try:
            rows = await self._pools[0].fetch(VERSION, (), ends(HEARTBEAT_S))
        except (StoreUnavailable, SchemaMissing) as error:
            raise NotReady(public(error)) from error
        if not rows or not self.catalogs.is_known(rows[0][0]):
            await self.refresh()

    # What the listener tells.

    def sees(self, version: int) -> None:
        """The catalog in the database has this version."""
        if self.away is not None or not self.catalogs.is_known(version):
            self._once("refresh", self._read_catalog)
        is_due = time.monotonic() - self._looked >= self._settings.registry_refresh_s
        if is_due or self.reason is not None:
            self._once("look", self._look)

    def lacks_catalog(self, error: SchemaMissing) -> None:
        """The database has no catalog."""
        if self.catalogs.current is not None:
            self._cache.clear()
        self.catalogs.drop()
        self._say(public(error), away=True, cause=str(error))

    async def cannot_connect(self, error: StreamflowError) -> None:
        """There is no connection that listens; reads may go on, if the server has no more."""
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._probe()
        except (TimeoutError, StreamflowError):
            self._say(public(error), away=True, cause=str(error))

    def fell_silent(self) -> None:
        """The connection did not answer any more, but a new one does.

        So did others perhaps: a node died, a firewall forgot them. Reads go to new ones.
        """
        for pool in self._pools:
            pool.replace()

    # What is done about it.

    def _once(self, name: str, work: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
        """Begins `work` unless the last one of that name is not done yet."""
        task = self._tasks.get(name)
        if task is None or task.done():
            task = self._tasks[name] = asyncio.ensure_future(work())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _read_catalog(self) -> None:
        before = self.catalogs.current
        try:
            rows = await self._pools[0].fetch(catalog.READ, (), ends(self._settings.deadline_s))
            if not rows:
                raise SchemaMissing(EMPTY)
            version, format_, document = rows[0]
            self.catalogs.take(version, format_, document, await self._usable_from())
        except StoreUnavailable as error:
            raise NotReady(public(error)) from error
        except SchemaMissing as error:
            self.lacks_catalog(error)
            raise NotReady(public(error)) from error
        except (CatalogTooNew, SchemaTooNew) as error:
            self._say(str(error), away=True)
            raise NotReady(str(error)) from error
        if self.catalogs.current is not before:
            self._cache.clear()
        self.away = None
        self._once("look", self._look)

    async def _usable_from(self) -> int:
        """The newest migration that a version must have to use the schema; 1 where nobody tells."""
        pool, by = self._pools[0], ends(self._settings.deadline_s)
        if not (await pool.fetch(migrations.IS_READABLE, (), by))[0][0]:
            return 1
        return int((await pool.fetch(migrations.USABLE_FROM, (), by))[0][0])

    async def _look(self) -> None:
        """Tries what a request would do; never raises."""
        if self.away is not None:
            return
        self._looked = began = time.monotonic()
        try:
            await self._probe()
        except Exception as error:  # a request would fail as well
            if not isinstance(error, StreamflowError) and self.reason != public(error):
                log.exception("features cannot be read")
            self._say(public(error), cause=str(error.__cause__ or error))
        else:
            self._say(None, duration_ms=round((time.monotonic() - began) * 1000))

    def _say(self, reason: str | None, away: bool = False, **extra: Any) -> None:
        """Keeps why the service is not ready, None when it is, and logs a change of it."""
        before, self.reason = self.reason, reason
        if away:
            self.away = reason
        if reason is None and before is not None:
            log.info("features ready", extra=extra)
        elif reason is not None and reason != before:
            log.warning("features not ready", extra={"reason": reason, **extra})


def ends(seconds: float) -> float:
    """The end of so many seconds by the loop's clock."""
    return asyncio.get_running_loop().time() + seconds
