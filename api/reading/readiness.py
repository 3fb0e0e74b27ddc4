"""Readiness: a read of the default service's features, as a request would do it."""

import asyncio
from collections.abc import Collection
from typing import Any

from api.errors import NotReady, RefusedByCatalog
from api.plans.plan import NO_KEY, Selection
from api.postgres.pool import NO_ANSWER
from api.reading.batch import Reads
from api.reading.plan_cache import PlanCache
from api.reading.retry import CatalogRetry
from api.reading.rounds import Rounds
from api.reading.state import State
from api.settings import ApiSettings
from streamflow.catalog.contract import service_by_default

PROBES_PER_S = 20
"""Reads a second that /readyz causes, whoever asks and how often: it needs no key."""
PROBED_KEYS: dict[str, Any] = {"text": "nobody", "bytea": b"nobody", "boolean": False}
"""Keys that are read, by type, 0 for numbers; such a row may be there or not."""


class Readiness(Rounds):
    """Probes the default service over a connection of its own. Belongs to one event loop."""

    def __init__(
        self,
        settings: ApiSettings,
        state: State,
        retry: CatalogRetry,
        plans: PlanCache,
        reads: Reads,
    ) -> None:
        """
        Args:
            settings: the default service, and how long a read may take.
            state: has the catalog.
            retry: begins a read anew where the catalog has changed.
            plans: the plans of selections.
            reads: over that connection.
        """
        super().__init__(PROBES_PER_S, PROBES_PER_S)
        self._settings, self._state, self._retry = settings, state, retry
        self._plans, self._reads = plans, reads

    async def require(self) -> None:
        """Return after a probe that began since the call; callers meanwhile share it.

        Raises:
            NotReady, StoreUnavailable: it failed, or is not done in time.
        """
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                await self.next_round()
        except TimeoutError:
            raise NotReady(NO_ANSWER) from None

    async def probe(self) -> None:
        """Read the default service as a request would.

        Raises:
            NotReady, StoreUnavailable: it cannot be read.
        """
        await self._retry.call(self._probe_once)

    async def _work(self) -> None:
        await self.probe()

    async def _probe_once(self) -> None:
        catalog = self._state.require_catalog()
        name = self._settings.service or service_by_default(catalog.services)
        if name not in catalog.services:
            raise NotReady(why_not_there(name, catalog.services, bool(self._settings.service)))
        try:
            plan = self._plans.find(catalog, Selection(name))
        except RefusedByCatalog as error:
            raise NotReady(str(error)) from error
        keys = [
            ["" if key == NO_KEY else PROBED_KEYS.get(type_, 0)]
            for key, type_ in plan.key_types.items()
        ]
        await self._reads.many(plan, keys)


def why_not_there(name: str, services: Collection[str], is_set: bool) -> str:
    """Says why no service answers the requests that name none, and which there are.

    Args:
        is_set: a setting names it.
    """
    said = f"the registry has no feature service {name}"
    if not services:
        return said
    help_ = "" if is_set else "; STREAMFLOW_API_SERVICE names the one that answers by default"
    return f"{said}; it has {', '.join(sorted(services))}{help_}"
