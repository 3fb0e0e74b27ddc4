"""Refusals by the catalog: confirmed by a query that all share who are refused meanwhile."""

import time
from collections import OrderedDict

from api.errors import NotReady
from api.reading.batch import Reads
from api.reading.follow import Follower
from api.reading.rounds import Rounds
from streamflow.catalog.model import Catalog

PER_S, BURST = 10, 5
"""Queries that confirm refusals, a second in the long run and after a rest."""
REPEATED_S = 0.2
"""Seconds from a confirmation in which a refusal of before it is repeated without a query, where
these come faster than the queries may: a fifth of what an answer may be kept for."""
MOST_REPEATED = 1000
"""Refusals that are known for that."""


class Refusals:
    """Tells a refusal by the last catalog from one by a former. Belongs to one event loop.

    Who was refused and has applied a change since must not be refused for what was before it. So
    a refusal is confirmed by a query that begins after the request came; and an outdated client,
    who asks the same again and again, is answered from memory as soon as it asks too often.
    """

    def __init__(self, follower: Follower, reads: Reads) -> None:
        """
        Args:
            follower: knows the catalog.
            reads: among whose requests those count that wait for a confirmation.
        """
        self._follower, self._reads = follower, reads
        self._rounds = Rounds(self._confirm, PER_S, BURST)
        self._confirmed: tuple[Catalog | None, float] = None, 0.0
        self._known: OrderedDict[int, None] = OrderedDict()

    async def is_last(self, refusal: Exception) -> bool:
        """Whether the catalog in hand, which `refusal` comes from, is the one there is.

        Raises:
            Busy: too many requests wait already.
        """
        catalog = self._follower.catalogs.current
        if catalog is None or self._follower.away is not None:
            return True  # the best that is known
        words = hash(str(refusal))
        if not self._rounds.is_due and self._is_known(words, catalog):
            return True
        with self._reads.admitted():
            try:
                await self._rounds.next()
            except NotReady:
                return True
        if self._follower.catalogs.current is not catalog:
            return False
        self._known[words] = None
        if len(self._known) > MOST_REPEATED:
            self._known.popitem(last=False)
        return True

    async def close(self) -> None:
        """Ends a query that is under way."""
        await self._rounds.close()

    def _is_known(self, words: int, catalog: Catalog) -> bool:
        confirmed, moment = self._confirmed
        is_recent = time.monotonic() - moment <= REPEATED_S
        return confirmed is catalog and is_recent and words in self._known

    async def _confirm(self) -> None:
        catalog, moment = self._follower.catalogs.current, time.monotonic()
        await self._follower.confirm()
        if self._confirmed[0] is not self._follower.catalogs.current:
            self._known.clear()
        if self._follower.catalogs.current is catalog:
            self._confirmed = catalog, moment
