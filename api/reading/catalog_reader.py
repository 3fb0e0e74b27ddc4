"""Reads the catalog from the database into the State."""

import asyncio
import contextlib

from api.errors import NotReady, public_reason
from api.postgres.pool import Pool
from api.postgres.session import deadline
from api.reading.cache import Cache
from api.reading.state import State
from api.settings import ApiSettings
from streamflow.catalog import model
from streamflow.catalog.known_contracts import IS_READABLE, READ_KNOWN, KnownContract, parse_known
from streamflow.catalog.model import CatalogTooNew
from streamflow.errors import SchemaMissing, SchemaTooNew, StoreUnavailable
from streamflow.postgres import migrations

VERSION = "SELECT version, pg_is_in_recovery() FROM {} AS catalog"
"""One row: the version of the catalog in a relation, and whether the server is a standby."""
VERSION_TIMEOUT_S = 0.5
"""Seconds that this query may take; see cache.STALENESS_S."""
PROJECT = "(SELECT document->>'project' FROM {} AS catalog LIMIT 1)"
"""The project of the catalog in a relation."""


class CatalogReader:
    """Reads the catalog, once for all callers of the same time. Belongs to one event loop."""

    def __init__(self, settings: ApiSettings, pool: Pool, cache: Cache, state: State) -> None:
        """
        Args:
            settings: how long a read may take.
            pool: the connections that it is read over.
            cache: emptied when another catalog is served.
            state: gets the catalog.
        """
        self._settings, self._pool, self._cache, self._state = settings, pool, cache, state
        self._task: asyncio.Task[None] | None = None

    def start_refresh(self) -> "asyncio.Task[None]":
        """Begin to read the catalog, unless that is under way already; returns the task."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._refresh())
            self._task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return self._task

    async def refresh(self) -> None:
        """Read the catalog; several callers at the same time share one reading.

        Raises:
            NotReady: it cannot be read.
        """
        await asyncio.shield(self.start_refresh())

    async def confirm(self) -> None:
        """Return when the catalog served is the one that the database has; read it if not.

        Raises:
            NotReady: the database does not tell.
        """
        try:
            query = VERSION.format(self._state.relation)
            rows = await self._pool.fetch(query, (), deadline(VERSION_TIMEOUT_S))
        except (StoreUnavailable, SchemaMissing) as error:
            raise NotReady(public_reason(error)) from error
        if not rows or not self._state.is_known(rows[0][0]):
            await self.refresh()

    def forget(self, error: SchemaMissing) -> None:
        """Serve nothing, because the database has no catalog."""
        if self._state.catalog is not None:
            self._cache.clear()
        self._state.forget_catalog()
        self._state.set_readiness(public_reason(error), is_away=True, cause=str(error))

    async def close(self) -> None:
        """End a reading that is under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, NotReady):
                await self._task

    async def _refresh(self) -> None:
        state, before = self._state, self._state.catalog
        try:
            query = model.READ_FROM.format(state.relation)
            rows = await self._pool.fetch(query, (), deadline(self._settings.deadline_s))
            if not rows:
                raise state.no_catalog()
            version, format_, document = rows[0]
            usable_from, known = await self._usable_from(), await self._known()
            state.serve(version, format_, document, usable_from, known)
        except StoreUnavailable as error:
            raise NotReady(public_reason(error)) from error
        except SchemaMissing as error:
            self.forget(error)
            raise NotReady(public_reason(error)) from error
        except (CatalogTooNew, SchemaTooNew) as error:
            state.set_readiness(str(error), is_away=True)
            raise NotReady(str(error)) from error
        if state.catalog is not before:
            self._cache.clear()
        state.away_reason = None
        state.probe_wanted.set()

    async def _known(self) -> list[KnownContract]:
        """The contracts that services have had; none where an earlier version applied last.

        They are read after the catalog, so that they may be of a later one. Its version is then
        found in the first row that is read, or is notified, and all is read anew.
        """
        ends = deadline(self._settings.deadline_s)
        if not (await self._pool.fetch(IS_READABLE, (), ends))[0][0]:
            return []
        query = READ_KNOWN.format(project=PROJECT.format(self._state.relation))
        return [parse_known(row) for row in await self._pool.fetch(query, (), ends)]

    async def _usable_from(self) -> int:
        """The newest migration that a version must have to use the schema; 1 if unknown."""
        ends = deadline(self._settings.deadline_s)
        if not (await self._pool.fetch(migrations.IS_READABLE, (), ends))[0][0]:
            return 1
        return int((await self._pool.fetch(migrations.USABLE_FROM, (), ends))[0][0])
