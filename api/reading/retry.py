"""Retries of requests that began with a catalog which was not the last one any more.

Rows of another catalog, and refusals by one ("no such feature"), are no answers until it is known
that the database has no newer catalog.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from api.errors import NotReady, Outdated, RefusedByCatalog
from api.reading.batch import Reads
from api.reading.catalog_reader import CatalogReader
from api.reading.rounds import Rounds
from api.reading.state import State
from streamflow.catalog.model import Catalog
from streamflow.errors import SchemaMissing, UnknownName

MOST_ATTEMPTS = 20
REPLAY_S = 0.05
"""Seconds that a replica is given to replay a change of the catalog, before each of the attempts
that find it has not."""
CONFIRMATIONS_PER_S, CONFIRMATIONS_BURST = 10, 5
"""Queries that confirm refusals, a second in the long run and after a rest."""
REPEATED_S = 0.2
"""Seconds from a confirmation in which a refusal of before it is repeated without a query, where
these come faster than the queries may: a fifth of what an answer may be kept for."""
MOST_REPEATED = 1000
"""Refusals that are known for that."""
T = TypeVar("T")


class Confirmations(Rounds):
    """Confirms that a refusal comes from the last catalog. Belongs to one event loop.

    Who was refused and has applied a change since must not be refused for what was before it. So
    a refusal is confirmed by a query that begins after the request came; and an outdated client,
    who asks the same again and again, is answered from memory as soon as it asks too often.
    """

    def __init__(self, state: State, catalog_reader: CatalogReader, reads: Reads) -> None:
        """
        Args:
            state: has the catalog that refused.
            catalog_reader: asks for the version of the last one.
            reads: among whose requests those count that wait for a confirmation.
        """
        super().__init__(CONFIRMATIONS_PER_S, CONFIRMATIONS_BURST)
        self._state, self._catalog_reader, self._reads = state, catalog_reader, reads
        self._confirmed: tuple[Catalog | None, float] = None, 0.0
        self._refused: OrderedDict[int, None] = OrderedDict()

    async def is_final(self, refusal: Exception) -> bool:
        """True if the catalog that `refusal` comes from is the last one, as far as can be known.

        Raises:
            Busy: too many requests wait already.
        """
        catalog = self._state.catalog
        if catalog is None or self._state.away_reason is not None:
            return True  # the best that is known
        words = hash(str(refusal))
        if not self.is_due and self._was_confirmed(words, catalog):
            return True
        with self._reads.admitted():
            try:
                await self.next_round()
            except NotReady:
                return True
        if self._state.catalog is not catalog:
            return False
        self._refused[words] = None
        if len(self._refused) > MOST_REPEATED:
            self._refused.popitem(last=False)
        return True

    def _was_confirmed(self, words: int, catalog: Catalog) -> bool:
        confirmed, moment = self._confirmed
        is_recent = time.monotonic() - moment <= REPEATED_S
        return confirmed is catalog and is_recent and words in self._refused

    async def _work(self) -> None:
        catalog, moment = self._state.catalog, time.monotonic()
        await self._catalog_reader.confirm()
        if self._confirmed[0] is not self._state.catalog:
            self._refused.clear()
        if self._state.catalog is catalog:
            self._confirmed = catalog, moment


class CatalogRetry:
    """Runs work again as long as the catalog changes under it."""

    def __init__(
        self,
        state: State,
        catalog_reader: CatalogReader,
        confirmations: Confirmations,
        reads_replica: bool = False,
    ) -> None:
        """
        Args:
            state: has the catalog.
            catalog_reader: reads another one.
            confirmations: confirms refusals.
            reads_replica: whether rows come from a server that may have the catalog later.
        """
        self._reads_replica = reads_replica
        self._state, self._catalog_reader = state, catalog_reader
        self._confirmations = confirmations

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, which is run again if the catalog it used was not the last one.

        Raises:
            NotReady: the tables are not what the catalog says, or change all the time; or too
                many requests wait.
            RefusedByCatalog, UnknownName: as `work` did by the last catalog there is.
        """
        for _ in range(MOST_ATTEMPTS):
            try:
                return await work()
            except Outdated as error:
                await self._renew(error)
            except (RefusedByCatalog, UnknownName) as error:
                if await self._confirmations.is_final(error):
                    raise
        if self._reads_replica:
            newer = self._state.unreadable_reason
            raise NotReady(newer or "the replica has not got the last change of the features yet")
        raise NotReady("the catalog changes faster than it can be read")

    async def _renew(self, error: Outdated) -> None:
        """Return when there is another catalog than the one that rows were asked by."""
        if self._state.version != error.version:
            return
        await self._catalog_reader.refresh()
        if self._state.version == error.version and self._reads_replica:
            await asyncio.sleep(REPLAY_S)
            return
        if self._state.version == error.version and isinstance(error.__cause__, SchemaMissing):
            newer = self._state.unreadable_reason
            raise NotReady(newer or "the online tables are not there yet") from error
