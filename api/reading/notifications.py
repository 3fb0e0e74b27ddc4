"""Hears of writes over a connection of its own, and proves all the time that it does.

A query that succeeds proves nothing: a pooler or a proxy may answer every query and deliver no
notification. So the service has the database notify the service itself, over another connection,
and what it keeps is given only for STALENESS_S after such an echo was sent that was heard. The
database queues notifications in the order of the commits and a connection is told of them in that
order, so that an echo that is heard proves that all commits before it were told.

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

from api.postgres.session import LOST, Overdue, Session
from api.reading.cache import STALENESS_S, Cache
from streamflow.catalog import model as catalog

log = logging.getLogger(__name__)

ECHO = "SELECT pg_notify($1, $2) FROM set_config('lock_timeout', '200ms', true)"
"""Commits that notify queue up behind one lock of the whole server, which one of them may hold
for long: while it waits for a standby, say. That makes an echo late and nothing else."""
ANSWER_S = 0.5
"""Seconds for the database to take an echo."""
PAUSE_S = STALENESS_S / 4
"""Between two echoes at least, whatever is the occasion for more."""


class Notifications:
    """Tells `cache` of every write and until when all were heard. Belongs to one event loop.

    An echo costs a transaction without a page of WAL, and a moment of the lock under which the
    server orders all notifications; it wakes nobody else, having a channel of its own.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Session]],
        retry_s: float,
        cache: Cache,
        wake: Callable[[], None],
    ) -> None:
        """
        Args:
            connect: opens a connection that is a session of the server.
            retry_s: between two attempts at that.
            cache: what is told.
            wake: what is called when the catalog was written, and when an echo may be sent.
        """
        self._connect, self._retry_s, self._cache, self._wake = connect, retry_s, cache, wake
        self.channel = f"streamflow_echo_{secrets.token_hex(8)}"
        self._session: Session | None = None
        self._opening: asyncio.Task[None] | None = None
        self._tried = float("-inf")
        self._number = 0
        self._sent: dict[int, float] = {}
        """When each echo was sent that was not heard yet, by its number."""
        self._last = float("-inf")
        self._is_deaf = False

    @property
    def are_heard(self) -> bool:
        """Whether an echo was heard within the bound, so that kept answers may be given."""
        return self._session is not None and self._cache.is_trusted

    async def echo(self, session: Session) -> None:
        """Has the database notify this service over `session`, unless it just did.

        Where nothing listens yet, a connection that does is opened meanwhile.
        """
        now = time.monotonic()
        if self._session is None:
            if self._opening is None and now - self._tried >= self._retry_s:
                self._tried = now
                self._opening = asyncio.create_task(self._open())
            return
        if now - self._last < PAUSE_S:
            return
        self._miss(now)
        self._last, self._number = now, self._number + 1
        self._sent[self._number] = now
        try:
            await session.fetch(ECHO, (self.channel, str(self._number)), ends(ANSWER_S))
        except (Overdue, asyncpg.PostgresError, *LOST) as error:
            self._sent.pop(self._number, None)
            log.info("no notification could be sent", extra={"cause": repr(error)})

    async def close(self) -> None:
        """Listens no longer, and has nothing given that was kept."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        self._drop()

    def _drop(self) -> None:
        session, self._session, self._opening = self._session, None, None
        self._sent.clear()
        self._cache.distrust()
        if session is not None:
            session.close()

    async def _open(self) -> None:
        """Opens the connection that listens; where that fails, the next echo is the occasion."""
        session: Session | None = None
        try:
            session = await self._connect()
            at_last = ends(self._retry_s + ANSWER_S)
            await session.listen(catalog.CHANNEL, lambda _: self._wake(), at_last)
            await session.listen(catalog.ONLINE_CHANNEL, self._cache.written, at_last)
            await session.listen(self.channel, self._heard, at_last)
        except Exception as error:  # whatever it is, the next attempt may find it mended
            log.warning("cannot listen, no answer is kept", extra={"cause": repr(error)})
        else:
            self._cache.distrust()  # what was read until now may be older than a write unheard
            self._session, listening, session = session, session, None
            self._last = float("-inf")
            listening.when_closed(lambda: self._closed(listening))
            self._wake()
        finally:
            self._opening = None
            if session is not None:
                session.close()

    def _closed(self, session: Session) -> None:
        """The connection was lost; does not wait for the next echo to notice."""
        if self._session is session:
            log.warning("the connection that listens was lost")
            self._drop()
            self._wake()

    def _heard(self, number: str) -> None:
        """An echo came, and with it all that was committed before it was sent."""
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
        self._cache.heard(sent)

    def _miss(self, now: float) -> None:
        """Gives up what is kept once an echo is so late that a write may be, too."""
        late = [one for one, at in self._sent.items() if now - at > STALENESS_S]
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


def ends(seconds: float) -> float:
    """The end of so many seconds by the loop's clock."""
    return asyncio.get_running_loop().time() + seconds
