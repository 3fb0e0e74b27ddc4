"""Blocking calls beside the event loop: so many at a time, and none for longer than so long."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from api.features import NotReady

T = TypeVar("T")


class Threads:
    """At most `limit` calls at a time; a caller waits `deadline_s` for its turn and its result."""

    def __init__(
        self, limit: int, deadline_s: float, overdue: Callable[[], None] = lambda: None
    ) -> None:
        self.limiter = anyio.CapacityLimiter(limit)
        self.deadline_s, self.overdue = deadline_s, overdue

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` gives. One that hangs is left behind and gives its turn to the next.

        Raises:
            NotReady: the time is over.
        """
        try:
            with anyio.fail_after(self.deadline_s):
                return await anyio.to_thread.run_sync(
                    call, limiter=self.limiter, abandon_on_cancel=True
                )
        except TimeoutError:
            self.overdue()
            raise NotReady("the database did not answer in time") from None
