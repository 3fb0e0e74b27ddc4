"""Readiness: a read of the default service's features, as a request would do it."""

import asyncio
from collections.abc import Callable
from typing import Any

from api.errors import NotReady, RefusedByCatalog
from api.postgres.pool import NO_ANSWER
from api.reading.batch import Reads
from api.reading.follow import Follower
from api.reading.plan import NO_KEY, Plan, Selection
from api.reading.retry import Attempts
from api.reading.rounds import Rounds
from api.settings import ApiSettings
from streamflow.catalog.model import Catalog

PER_S = 20
"""Reads a second that /readyz causes, whoever asks and how often: it needs no key."""
NOBODY: dict[str, Any] = {"text": "nobody", "bytea": b"nobody", "boolean": False}
"""Keys that are read, 0 for numbers; whether there is such a row makes no difference."""


class Readiness:
    """Reads over a connection of its own. Belongs to one event loop."""

    def __init__(
        self,
        settings: ApiSettings,
        follower: Follower,
        attempts: Attempts,
        plan: Callable[[Catalog, Selection], Plan],
        reads: Reads,
    ) -> None:
        """
        Args:
            settings: the default service, and how long a read may take.
            follower: knows the catalog.
            attempts: begins a read anew where the catalog has changed.
            plan: the plan of a selection.
            reads: over that connection.
        """
        self._settings, self._follower, self._attempts = settings, follower, attempts
        self._plan, self._reads = plan, reads
        self._rounds = Rounds(self.probe, PER_S, PER_S)

    async def require(self) -> None:
        """Returns after a read that began since it was called; who calls meanwhile shares it.

        Raises:
            NotReady, StoreUnavailable: it failed, or is not done in time.
        """
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                await self._rounds.next()
        except TimeoutError:
            raise NotReady(NO_ANSWER) from None

    async def close(self) -> None:
        """Ends a read that is under way."""
        await self._rounds.close()

    async def probe(self) -> None:
        """Reads the default service as a request would.

        Raises:
            NotReady, StoreUnavailable: it cannot be read.
        """
        await self._attempts.of(self._probe_once)

    async def _probe_once(self) -> None:
        catalog, name = self._follower.require(), self._settings.service
        if name not in catalog.services:
            raise NotReady(f"the registry has no feature service {name}")
        try:
            plan = self._plan(catalog, Selection(name))
        except RefusedByCatalog as error:
            raise NotReady(str(error)) from error
        nobody = [
            ["" if key == NO_KEY else NOBODY.get(type_, 0)] for key, type_ in plan.keys.items()
        ]
        await self._reads.many(plan, nobody)
