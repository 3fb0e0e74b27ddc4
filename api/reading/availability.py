"""Availability: decides from what is seen of the database whether requests can be answered."""

import asyncio
import logging
import time
from collections.abc import Sequence

from api.background import BackgroundTask
from api.errors import ReplicaRefused, lasting_reason, public_reason
from api.postgres.pool import Pool
from api.reading.catalog_reader import VERSION_TIMEOUT_S, CatalogReader
from api.reading.readiness import Readiness
from api.reading.state import State
from streamflow.errors import SchemaMissing, StreamflowError

log = logging.getLogger(__name__)


class Availability(BackgroundTask):
    """Keeps the State by what the heartbeat sees, and by probes. Belongs to one event loop."""

    def __init__(
        self,
        probe_every_s: float,
        state: State,
        catalog_reader: CatalogReader,
        readiness: Readiness,
        pools: Sequence[Pool],
    ) -> None:
        """
        Args:
            probe_every_s: seconds between two probes of a service that is ready.
            state: what is kept.
            catalog_reader: reads another catalog into it.
            readiness: reads as a request for the default service would.
            pools: of all connections for reads.
        """
        self._probe_every_s, self._state, self._pools = probe_every_s, state, pools
        self._catalog_reader, self._readiness = catalog_reader, readiness
        self._probed_at = float("-inf")

    def version_seen(self, version: int) -> None:
        """Take in that the catalog in the database has this version."""
        if self._state.away_reason is not None or not self._state.is_known(version):
            self._catalog_reader.start_refresh()
        is_due = time.monotonic() - self._probed_at >= self._probe_every_s
        if is_due or self._state.unready_reason is not None:
            self._state.probe_wanted.set()

    def catalog_missing(self, error: SchemaMissing) -> None:
        """Take in that the database has no catalog."""
        self._catalog_reader.forget(error)

    async def connection_failed(self, error: StreamflowError) -> None:
        """Take in that the heartbeat has no connection; reads may go on over those they have."""
        try:
            async with asyncio.timeout(VERSION_TIMEOUT_S):
                await self._readiness.probe()
        except ReplicaRefused as refused:  # which the next request may find otherwise
            self._state.set_readiness(lasting_reason(refused), cause=str(refused))
        except (TimeoutError, StreamflowError):
            self._state.set_readiness(public_reason(error), is_away=True, cause=str(error))

    def connection_was_silent(self) -> None:
        """Take in that the heartbeat's connection did not answer any more, but a new one does.

        So did others perhaps: a node died, a firewall forgot them. Reads go to new ones.
        """
        for pool in self._pools:
            pool.replace()

    async def _run(self) -> None:
        """Probe whenever that is wanted; a wish during a probe is fulfilled by that probe."""
        wanted = self._state.probe_wanted
        while True:
            await wanted.wait()
            await self._probe()
            wanted.clear()

    async def _probe(self) -> None:
        """Try what a request would do; never raises."""
        state = self._state
        if state.away_reason is not None:
            return
        self._probed_at = began = time.monotonic()
        try:
            await self._readiness.probe()
        except Exception as error:  # a request would fail as well
            if not isinstance(error, StreamflowError) and state.unready_reason != public_reason(
                error
            ):
                log.exception("features cannot be read")
            state.set_readiness(lasting_reason(error), cause=str(error.__cause__ or error))
        else:
            duration_ms = round((time.monotonic() - began) * 1000)
            state.set_readiness(None, duration_ms=duration_ms)
