"""Listens for notifications of writes, and proves all the time that they arrive.

A query that succeeds proves nothing: a pooler or a proxy may answer every query and deliver no
notification. So the service has the database notify the service itself, over another connection,
and kept answers are given only for STALENESS_S after such an echo was sent that was heard. The
database queues notifications in the order of the commits and delivers them to a connection in that
order, so that an echo that is heard proves that those of all commits before it were heard.

The connection says nothing after its LISTEN: a pooler that gives it a server for each transaction
would deliver by chance what happens while a statement of it runs, an echo among it, and lose the
rest.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

import asyncpg

from api.postgres.session import CONNECTION_LOST, Overdue, Session, deadline
from api.reading.cache import STALENESS_S, Cache
from api.reading.state import State
from streamflow.catalog import model as catalog

log = logging.getLogger(__name__)

ECHO = "SELECT pg_notify($1, $2) FROM set_config('lock_timeout', '200ms', true)"
"""Commits that notify queue up behind one lock of the whole server, which one of them may hold
for long: while it waits for a standby, say. That makes an echo late and nothing else."""
SEND_TIMEOUT_S = 0.5
"""Seconds for the database to take an echo."""
PAUSE_S = STALENESS_S / 4
"""Between two echoes at least, whatever is the occasion for more."""


class Notifications:
    """Drops answers from the cache at every write, and tells it how long to trust the others.

    An echo costs a transaction without a page of WAL, and a moment of the lock under which the
    server orders all notifications; it wakes nobody else, having a channel of its own.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Session]],
        retry_s: float,
        cache: Cache,
        state: State,
    ) -> None:
        """
        Args:
            connect: opens a connection that is a session of the server.
            retry_s: seconds between two attempts at that.
            cache: drops the answers that a write made old.
            state: a heartbeat is wanted when the catalog was written, or an echo may be sent.
        """
        self._connect, self._retry_s, self._cache, self._state = connect, retry_s, cache, state
        self.channel = f"streamflow_echo_{secrets.token_hex(8)}"
        self._session: Session | None = None
        self._opening: asyncio.Task[None] | None = None
        self._tried_at = float("-inf")
        self._number = 0
        self._sent: dict[int, float] = {}
        """Moments at which the echoes were sent that were not heard yet, by number."""
        self._sent_last_at = float("-inf")
        self._is_deaf = False

    async def send_echo(self, session: Session) -> None:
        """Have the database notify this service over `session`, unless it just did.

        Where nothing listens yet, a connection that does is opened meanwhile.
        """
        now = time.monotonic()
        if self._session is None:
            if self._opening is None and now - self._tried_at >= self._retry_s:
                self._tried_at = now
                self._opening = asyncio.create_task(self._open())
            return
        if now - self._sent_last_at < PAUSE_S:
            return
        self._give_up_late_echoes(now)
        self._sent_last_at, self._number = now, self._number + 1
        self._sent[self._number] = now
        try:
            ends = deadline(SEND_TIMEOUT_S)
            await session.fetch(ECHO, (self.channel, str(self._number)), ends)
        except (Overdue, asyncpg.PostgresError, *CONNECTION_LOST) as error:
            self._sent.pop(self._number, None)
            log.info("no notification could be sent", extra={"cause": repr(error)})

    async def close(self) -> None:
        """Stop listening; no answer that was kept until now is given any more."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        self._drop_session()

    def _drop_session(self) -> None:
        session, self._session, self._opening = self._session, None, None
        self._sent.clear()
        self._cache.distrust()
        if session is not None:
            session.close()

    async def _open(self) -> None:
        """Open the connection that listens; where that fails, the next echo is the occasion."""
        session: Session | None = None
        try:
            session = await self._connect()
            ends = deadline(self._retry_s + SEND_TIMEOUT_S)
            wanted = self._state.heartbeat_wanted
            await session.listen(catalog.CHANNEL, lambda _: wanted.set(), ends)
            await session.listen(catalog.ONLINE_CHANNEL, self._cache.drop_table, ends)
            await session.listen(self.channel, self._echo_heard, ends)
        except Exception as error:  # whatever it is, the next attempt may find it mended
            log.warning("cannot listen, no answer is kept", extra={"cause": repr(error)})
        else:
            self._cache.distrust()  # a write before it may have gone unheard
            self._session, listening, session = session, session, None
            self._sent_last_at = float("-inf")
            listening.when_closed(lambda: self._session_closed(listening))
            self._state.heartbeat_wanted.set()
        finally:
            self._opening = None
            if session is not None:
                session.close()

    def _session_closed(self, session: Session) -> None:
        """Give up a connection that was lost, without waiting for the next echo to notice."""
        if self._session is session:
            log.warning("the connection that listens was lost")
            self._drop_session()
            self._state.heartbeat_wanted.set()

    def _echo_heard(self, number: str) -> None:
        """Trust kept answers up to when this echo was sent: all notifications before it came."""
        sent = self._sent.pop(int(number), None) if number.isdecimal() else None
        if sent is None or time.monotonic() - sent > STALENESS_S:
            return
        lost = [earlier for earlier in self._sent if earlier < int(number)]
        if lost or self._is_deaf:  # writes may be lost as well
            self._cache.distrust()
        for earlier in lost:
            del self._sent[earlier]
        if self._is_deaf:
            log.info("notifications arrive again")
        self._is_deaf = False
        self._cache.trust_until(sent)

    def _give_up_late_echoes(self, now: float) -> None:
        """Distrust kept answers once an echo is so late that a write may be, too."""
        late = [number for number, at in self._sent.items() if now - at > STALENESS_S]
        if not late:
            return
        if not self._is_deaf:
            log.warning(
                "notifications do not arrive, no answer is kept; behind a pooler in transaction"
                " mode, set STREAMFLOW_POOLER=transaction and STREAMFLOW_DIRECT_HOST"
            )
            self._is_deaf = True
            self._cache.distrust()
        for number in late:
            del self._sent[number]
