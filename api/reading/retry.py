"""Work that is begun anew where the catalog it began with turned out not to be the last one."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from api.errors import NotReady, Outdated, RefusedByCatalog
from api.reading.follow import Follower
from api.reading.refusals import Refusals
from streamflow.errors import SchemaMissing, UnknownName

MOST = 20
T = TypeVar("T")


class Attempts:
    """Attempts at work that `follower` knows the catalog for."""

    def __init__(self, follower: Follower, refusals: Refusals) -> None:
        self._follower, self._refusals = follower, refusals

    async def of(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives in the end.

        Raises:
            NotReady: the tables are not what the catalog says, or change all the time; or too
                many requests wait.
            RefusedByCatalog, UnknownName: as `work` did by the last catalog there is.
        """
        for _ in range(MOST):
            try:
                return await work()
            except Outdated as error:
                await self._renew(error)
            except (RefusedByCatalog, UnknownName) as error:
                if await self._refusals.is_last(error):
                    raise
        raise NotReady("the catalog changes faster than it can be read")

    async def _renew(self, error: Outdated) -> None:
        """Returns when there is another catalog than the one that rows were asked by."""
        if self._version != error.version:
            return
        await self._follower.refresh()
        if self._version == error.version and isinstance(error.__cause__, SchemaMissing):
            newer = self._follower.catalogs.newer
            raise NotReady(newer or "the online tables are not there yet") from error

    @property
    def _version(self) -> int | None:
        found = self._follower.catalogs.current
        return found.version if found else None
