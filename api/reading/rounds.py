"""Runs a piece of work for many callers at once, so often a second at most."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from api.access.rate_limit import Bucket


class Rounds:
    """Rounds of `work`, one at a time; who asks is answered by one that began after it asked.

    So whatever number of callers comes while a round is under way, the next round is for all of
    them, and nobody is told something that was found out before. Belongs to one event loop.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], per_s: float, burst: int) -> None:
        """
        Args:
            work: what a round does; what it raises, all are told who wait for the round.
            per_s: rounds a second in the long run.
            burst: rounds after a rest that need not keep to it.
        """
        self._work, self._bucket = work, Bucket(per_s, burst)
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    @property
    def is_due(self) -> bool:
        """Whether a round may begin as soon as the last one has ended."""
        return self._bucket.seconds_until(1) == 0

    async def next(self) -> None:
        """Returns when a round is over that had not begun yet; raises what it raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._round(self._running))
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._next)

    async def close(self) -> None:
        """Ends the rounds that are under way or to come."""
        for task in (self._next, self._running):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def _round(self, former: asyncio.Task[None] | None) -> None:
        if former is not None:
            await asyncio.wait([former])
        while seconds := self._bucket.take(1):
            await asyncio.sleep(seconds)
        self._running, self._next = self._next, None
        await self._work()
