"""Notes in the database which callers ask for which contracts, for whoever wants to change them.

Metrics go with the process that counts them, and a model that scores once a month asks in no other
week: what is noted here stays.
"""

import asyncio
import contextlib
import logging
import time

from api.background import BackgroundTask
from api.reading.counts import RequestCounts
from api.reading.features import Features
from streamflow.errors import StreamflowError

log = logging.getLogger(__name__)

TIMEOUT_S = 2.0
"""Seconds for each of the two queries of a note."""
HINDRANCE = """
    SELECT CASE
        WHEN pg_is_in_recovery() THEN 'the database is a standby'
        WHEN note IS NULL THEN 'an earlier version applied the database'
        WHEN NOT has_function_privilege(note, 'EXECUTE')
            THEN 'the role may not; see: streamflow db roles --help'
    END FROM (SELECT to_regprocedure(
        'ops.note_callers(text,text[],text[],text[],bigint[],float8[])')::oid) AS n (note)"""
"""The reason why nothing can be noted; null where it can."""
NOTE = "SELECT ops.note_callers($1, $2, $3, $4, $5, $6)"
TOO_MANY = "more callers than are told apart"


class CallerNotes(BackgroundTask):
    """Notes what was counted since the last note, now and then. Belongs to one event loop.

    A note that fails is made up for by the next one. One whose end nobody saw, since the connection
    was lost, may be there twice.
    """

    def __init__(self, features: Features) -> None:
        self._features, self._every_s = features, features.settings.note_callers_s
        self._ending = asyncio.Event()
        self._reason: str | None = None

    async def close(self) -> None:
        """Stop after a last note, which says if it cannot be made."""
        self._ending.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2 * TIMEOUT_S)
        await super().close()
        lost = sum(self._features.new_requests.counts.values())
        if self._every_s and lost:
            log.warning("callers of the last requests are not noted", extra={"requests": lost})

    async def _run(self) -> None:
        """Note every `note_callers_s` seconds, and at the end; never where that is 0."""
        while self._every_s and not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), self._every_s)
            await self._note()

    async def _note(self) -> None:
        """Note what was counted, if something was and the database is there; never raises."""
        features = self._features
        catalog = features.state.catalog
        if catalog is None or features.state.away_reason is not None:
            return
        counted = features.new_requests.take()
        if not counted.counts:
            return
        try:
            reason = await self._noted(catalog.project, counted)
        except StreamflowError as error:
            reason = str(error)
        except Exception as error:  # whatever it is, the next note may do better
            log.exception("callers not noted")
            reason = repr(error)
        except asyncio.CancelledError:  # at the end, which says what is lost
            features.new_requests.add(counted)
            raise
        if reason and reason != TOO_MANY:
            features.new_requests.add(counted)
        if reason and reason != self._reason:
            log.warning("callers not noted", extra={"reason": reason})
        self._reason = reason

    async def _noted(self, project: str, counted: RequestCounts) -> str | None:
        """The reason why not all is noted that was counted; None if all is."""
        [[hindrance]] = await self._features.ask(HINDRANCE, TIMEOUT_S)
        if hindrance:
            return str(hindrance)
        now = time.time()
        lists = list(zip(*counted.counts, strict=True))
        requests = list(counted.counts.values())
        ages = [now - counted.last[who] for who in counted.counts]
        [[added]] = await self._features.write(NOTE, TIMEOUT_S, project, *lists, requests, ages)
        return TOO_MANY if added < sum(requests) else None
