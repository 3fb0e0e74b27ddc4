"""Notes in the database which callers ask for which contracts, for whoever wants to change them.

Metrics go with the process that counts them, and a model that scores once a month asks in no other
week: what is noted here stays.
"""

import asyncio
import logging

from api.background import BackgroundTask
from api.reading.features import Features
from streamflow.errors import StreamflowError

log = logging.getLogger(__name__)

TIMEOUT_S = 2.0
"""Seconds for each of the two queries of a note, and for the last note of a process."""
HINDRANCE = """
    SELECT CASE
        WHEN pg_is_in_recovery() THEN 'the database is a standby'
        WHEN note IS NULL THEN 'an earlier version applied the database'
        WHEN NOT has_function_privilege(note, 'EXECUTE')
            THEN 'the role may not; see: streamflow db roles --help'
    END FROM (SELECT to_regprocedure('ops.note_callers(text,text[],text[],text[],bigint[])')::oid)
        AS n (note)"""
"""The reason why nothing can be noted; null where it can."""
NOTE = "SELECT ops.note_callers($1, $2, $3, $4, $5)"


class CallersNoted(BackgroundTask):
    """Notes what was counted since the last note, now and then. Belongs to one event loop.

    A note that fails is made up for by the next one, but for one whose end nobody saw: a count may
    lack the requests of a minute in which the database went away, or have them twice.
    """

    def __init__(self, features: Features) -> None:
        self._features, self._every_s = features, features.settings.note_callers_s
        self._reason: str | None = None

    async def close(self) -> None:
        """Stop, after a last note."""
        await super().close()
        if self._every_s:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await self._note()
            except TimeoutError:
                self._fail("the database did not answer in time")

    async def _run(self) -> None:
        """Note every `note_callers_s` seconds; never where that is 0."""
        while self._every_s:
            await asyncio.sleep(self._every_s)
            await self._note()

    async def _note(self) -> None:
        """Note what was counted, if something was and the database is there; never raises."""
        catalog = self._features.state.catalog
        if catalog is None or self._features.state.away_reason is not None:
            return
        counted = self._features.requests.take()
        if not counted:
            return
        services, contracts, callers = zip(*counted, strict=True)
        lists = (services, contracts, callers, list(counted.values()))
        try:
            [[reason]] = await self._features.ask(HINDRANCE, TIMEOUT_S)
            if reason is None:
                await self._features.tell(NOTE, TIMEOUT_S, catalog.project, *lists)
        except StreamflowError as error:
            reason = str(error)
        except Exception as error:  # whatever it is, the next note may do better
            log.exception("callers not noted")
            reason = repr(error)
        except asyncio.CancelledError:
            self._features.requests.give_back(counted)
            raise
        if reason is not None:
            self._features.requests.give_back(counted)
            self._fail(reason)
        else:
            self._reason = None

    def _fail(self, reason: str) -> None:
        if reason != self._reason:
            log.warning(
                "callers not noted, they will be with the next ones", extra={"reason": reason}
            )
        self._reason = reason
