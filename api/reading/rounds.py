"""Work that is shared by all callers of the same time, and limited to so many rounds a second."""

import asyncio
import contextlib
from abc import ABC, abstractmethod

from api.token_bucket import TokenBucket


class Rounds(ABC):
    """Rounds of one piece of work, one at a time; each caller gets one that begins after it asked.

    However many callers come while a round is under way, the next round is for all of them, and
    nobody gets a result of before it asked. Belongs to one event loop.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        """
        Args:
            per_s: rounds a second in the long run.
            burst: rounds after a rest that need not keep to it.
        """
        self._bucket = TokenBucket(per_s, burst)
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    @property
    def is_due(self) -> bool:
        """True if a round may begin as soon as the last one has ended."""
        return self._bucket.seconds_until(1) == 0

    async def next_round(self) -> None:
        """Return when a round is over that had not begun yet; raises what it raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._round(self._running))
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._next)

    async def close(self) -> None:
        """End the rounds that are under way or to come."""
        for task in (self._next, self._running):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    @abstractmethod
    async def _work(self) -> None:
        """Do the work of a round; its error is raised to all callers that wait for it."""

    async def _round(self, former: asyncio.Task[None] | None) -> None:
        if former is not None:
            await asyncio.wait([former])
        while seconds := self._bucket.take(1):
            await asyncio.sleep(seconds)
        self._running, self._next = self._next, None
        await self._work()
